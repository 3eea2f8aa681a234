"""Whose frame is worked on next, so that every camera that has some gets an equal share of the work. Pure.

Start-time fair queueing (Goyal, Vin & Cheng 1996): each camera has a virtual time that goes on by the work it was
given, and whoever's is least is next. A camera that asks for less than its share is served at once whatever the others
ask for, and what it leaves is theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

_LEARNING = 0.05
"""How far the expected work of a frame follows the last one's."""


@dataclass(slots=True)
class FairQueue:
    """The virtual times of some cameras. A camera that was away has no claim on what it did not ask for meanwhile."""

    _now: float = field(default=0.0, init=False)
    _due: dict[str, float] = field(default_factory=dict, init=False)
    _expected: float = field(default=0.0, init=False)

    def next(self, waiting: Sequence[str]) -> int:
        """Index of the one whose turn it is; of equals the first.

        Args:
            waiting: whose frames wait, the oldest first; one or more.
        """
        return min(range(len(waiting)), key=lambda i: self._start(waiting[i]))

    def begin(self, camera: str) -> float:
        """A frame of a camera is worked on; returns what it was charged, for `end`.

        A frame is charged what frames have cost so far, or a camera with two frames could have both at the same price.
        """
        self._now = self._start(camera)
        self._due[camera] = self._now + self._expected
        return self._expected

    def end(self, camera: str, charged: float, spent_s: float) -> None:
        """The work on a frame has ended.

        Args:
            camera: whose it was.
            charged: what `begin` returned.
            spent_s: how long it occupied a place, seconds.
        """
        if camera in self._due:
            self._due[camera] += spent_s - charged
        self._expected += _LEARNING * (spent_s - self._expected)

    def forget(self, camera: str) -> None:
        """A camera has gone."""
        self._due.pop(camera, None)

    def _start(self, camera: str) -> float:
        return max(self._now, self._due.get(camera, 0.0))
