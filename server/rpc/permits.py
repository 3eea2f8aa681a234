"""Permits for frames and still images in work: only so many at once, and cameras get equal shares of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from server.pipeline.fair_queue import FairQueue


class Permits:
    """A semaphore whose next user is the camera that has had least. For one event loop.

    Args:
        count: frames that are in work at once.
        clock: monotonic nanoseconds.
    """

    def __init__(self, count: int, clock: Callable[[], int]) -> None:
        self._free = count
        self._clock = clock
        self._queue = FairQueue()
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def held(self, session: str) -> AsyncIterator[None]:
        """Waits for a permit and holds it.

        Args:
            session: of the camera whose frame it is for, or what stands for all still images.
        """
        await self._take(session)
        charged, began_ns = self._queue.begin(session), self._clock()
        try:
            yield
        finally:
            self._queue.end(session, charged, (self._clock() - began_ns) / 1e9)
            self._give()

    def forget(self, session: str) -> None:
        """A camera has gone, and holds no permit."""
        self._queue.forget(session)

    async def _take(self, session: str) -> None:
        if self._free:
            self._free -= 1
            return
        coming: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (session, coming)
        self._waiting.append(entry)
        try:
            await coming
        except asyncio.CancelledError:
            if coming.cancelled():
                self._waiting.remove(entry)
            else:  # it was given the permit in the moment in which it gave up
                self._give()
            raise

    def _give(self) -> None:
        """Passes a permit on, or keeps it for whoever comes."""
        waiting = [entry for entry in self._waiting if not entry[1].cancelled()]
        if not waiting:
            self._free += 1
            return
        chosen = waiting[self._queue.next([session for session, _ in waiting])]
        self._waiting.remove(chosen)
        chosen[1].set_result(None)
