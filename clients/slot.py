"""Where frames wait for their turn to be sent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from enum import Enum

from clients.frames import AnyFrame


class Delivery(Enum):
    """Which frames are sent.

    NEWEST is for cameras: while a frame waits, a newer one takes its place.
    EVERY is for files: reading waits until the frame before was taken, and a frame that was lost is sent again.
    """

    NEWEST = "newest"
    EVERY = "every"


class FrameSlot:
    """The waiting place: one frame, and with EVERY also those that must be sent again."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._frames: deque[AnyFrame] = deque()
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def closed(self) -> bool:
        """True when no further frame gets in."""
        return self._closed

    def __len__(self) -> int:
        return len(self._frames)

    async def put(self, frame: AnyFrame) -> list[AnyFrame]:
        """Puts a frame in; returns what stays outside: an older one, or this one when the slot is closed.

        With EVERY it waits for room; when that is cancelled the frame is not in the slot.
        """
        displaced = []
        if self._delivery is Delivery.NEWEST and self._frames and not self._closed:
            displaced = [self._frames.pop()]
        while self._frames and not self._closed:
            await self._changed.wait()
        if self._closed:
            return [frame]
        self._frames.append(frame)
        self._notify()
        return displaced

    def put_back(self, frames: Sequence[AnyFrame]) -> list[AnyFrame]:
        """Puts frames back that were taken, oldest first; returns those that stay outside for newer ones."""
        waiting = [*frames, *self._frames]
        keep = len(waiting) if self._delivery is Delivery.EVERY else min(1, len(waiting))
        outside = waiting[: len(waiting) - keep]
        self._frames = deque(waiting[len(outside) :])
        self._notify()
        return outside

    def skip(self) -> list[AnyFrame]:
        """Drops nothing: each picture stands for itself."""
        return []

    async def filled(self) -> bool:
        """Waits until there is a frame to take; False when the slot is closed and empty."""
        while not self._frames and not self._closed:
            await self._changed.wait()
        return bool(self._frames)

    async def take(self) -> AnyFrame | None:
        """The next frame, waited for; None when the slot is closed and empty."""
        if not await self.filled():
            return None
        frame = self._frames.popleft()
        self._notify()
        return frame

    def close(self) -> None:
        """Lets no further frame in. Those that wait can still be taken."""
        self._closed = True
        self._notify()

    def clear(self) -> list[AnyFrame]:
        """Takes out all that waits."""
        frames = list(self._frames)
        self._frames.clear()
        self._notify()
        return frames

    def _notify(self) -> None:
        # Everyone who waits holds the old event, looks again, and waits for the new one if need be.
        self._changed.set()
        self._changed = asyncio.Event()
