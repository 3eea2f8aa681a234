"""The frames that were sent over one connection and wait for their answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from clients.frames import AnyFrame


@dataclass(slots=True)
class _Departure:
    """A frame that left the slot. Times are of the event loop's clock, seconds."""

    frame: AnyFrame
    at_s: float
    sent: bool = False


class Flight:
    """At most `limit` frames: a frame departs, is sent, and lands when its answer comes.

    The limit is the credit that keeps frames from ageing in buffers on the way: with two, one is worked on and one
    is there when the server gets free. It may change at any time; frames that are under way stay there.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._departures: dict[int, _Departure] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._departures)

    @property
    def limit(self) -> int:
        """Frames that may be under way at the same time."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = limit
        self._notify()

    @property
    def is_full(self) -> bool:
        """True when no frame may depart."""
        return len(self._departures) >= self._limit

    async def room(self) -> None:
        """Waits until a frame may depart."""
        while self.is_full:
            await self._changed.wait()

    async def landed(self, *, but: int = 0) -> None:
        """Waits until every frame has landed, or all but a few."""
        while len(self._departures) > but:
            await self._changed.wait()

    def depart(self, frame: AnyFrame, *, at_s: float) -> None:
        """A frame left the slot and is on its way to the wire."""
        self._departures[frame.stamp.sequence] = _Departure(frame, at_s)

    def sent(self, sequence: int) -> None:
        """A frame is handed to the wire: from now on the server may have it."""
        self._departures[sequence].sent = True

    def land(self, sequence: int) -> AnyFrame | None:
        """The frame that is answered; None when it isn't in flight."""
        departure = self._departures.pop(sequence, None)
        self._notify()
        return departure.frame if departure else None

    def oldest_s(self) -> float | None:
        """When the frame departed that has been in flight for the longest time; None when none is."""
        return min((departure.at_s for departure in self._departures.values()), default=None)

    def crash(self) -> tuple[list[AnyFrame], list[AnyFrame]]:
        """Empties the flight: the frames that the server may have, and those that it can't have. Oldest first."""
        departures = [self._departures[sequence] for sequence in sorted(self._departures)]
        self._departures.clear()
        self._notify()
        return (
            [departure.frame for departure in departures if departure.sent],
            [departure.frame for departure in departures if not departure.sent],
        )

    def _notify(self) -> None:
        # Everyone who waits holds the old event, looks again, and waits for the new one if need be.
        self._changed.set()
        self._changed = asyncio.Event()
