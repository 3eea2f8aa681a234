"""A source's frames into a slot: in real time like a camera, or as fast as they are taken."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

from clients.errors import SourceError
from clients.frames import AnyFrame
from clients.packet_slot import PacketSlot
from clients.slot import FrameSlot
from clients.sources.source import PacketSource, Source

_CLOSE_TIMEOUT_S = 6.0
"""A network camera that is silent gives up reading after five seconds."""


class Account(Protocol):
    """Who keeps the books of a feed."""

    def came(self) -> None:
        """A frame was read."""
        ...

    def displaced(self, frame: AnyFrame) -> None:
        """A frame that was read is not in the slot any more, or never was."""
        ...

    async def room(self) -> None:
        """Waits until reading may go on."""
        ...


class Feed:
    """Reads a source in a thread of its own.

    Args:
        source: closed with the feed.
        slot: closed when the source ends.
        paced: True to give the frames of a file at the pace of the video.
        clock: wall clock, nanoseconds since the epoch.
    """

    def __init__(
        self,
        source: Source | PacketSource,
        slot: FrameSlot | PacketSlot,
        *,
        paced: bool,
        clock: Callable[[], int] = time.time_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._source = source
        self._slot = slot
        self._paced = paced
        self._clock = clock
        self._sleep = sleep
        self._started_s = 0.0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="facestream-source")

    async def run(self, account: Account) -> SourceError | None:
        """Pumps until the source ends or the slot is closed; returns the error with which the source ended."""
        loop = asyncio.get_running_loop()
        frames: Iterator[AnyFrame] = iter(self._source)
        self._started_s = loop.time()
        try:
            while not self._slot.closed:
                frame = await loop.run_in_executor(self._thread, next, frames, None)
                if frame is None:
                    break
                if self._paced:
                    frame = await self._at_its_time(frame)
                account.came()
                await self._put(frame, account)
                await account.room()
        except SourceError as error:
            return error
        finally:
            self._slot.close()
        return None

    async def _at_its_time(self, frame: AnyFrame) -> AnyFrame:
        """The frame, when its time has come: taken now."""
        due_s = self._started_s + frame.due_ns / 1e9
        await self._sleep(max(0.0, due_s - asyncio.get_running_loop().time()))
        captured_at_ns = self._clock() + frame.stamp.position_ns - frame.due_ns
        return replace(frame, stamp=replace(frame.stamp, captured_at_ns=captured_at_ns))

    async def _put(self, frame: AnyFrame, account: Account) -> None:
        try:
            gone = await self._slot.put(frame)
        except asyncio.CancelledError:
            account.displaced(frame)
            raise
        for each in gone:
            account.displaced(each)

    async def aclose(self) -> None:
        """Ends the reading and closes the source; gives up on a source that does not let go."""
        self._source.interrupt()
        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await asyncio.shield(loop.run_in_executor(self._thread, self._source.close))
        self._thread.shutdown(wait=False)
