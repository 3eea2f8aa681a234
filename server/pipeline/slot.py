"""The newest frame wins: one waiting place per camera."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar


class DropReason(Enum):
    """Why a frame was not worked on."""

    SUPERSEDED = "superseded"
    TOO_OLD = "too_old"


FrameT = TypeVar("FrameT")


@dataclass(frozen=True, slots=True)
class Waiting(Generic[FrameT]):
    """A frame that waits for its turn.

    Attributes:
        frame: the frame.
        arrived_at_ns: when the server got it, monotonic nanoseconds.
    """

    frame: FrameT
    arrived_at_ns: int


@dataclass(slots=True)
class NewestFrame(Generic[FrameT]):
    """At most one waiting frame; a newer one takes its place.

    Attributes:
        max_age_ns: a frame that waited longer isn't worth working on.
    """

    max_age_ns: int
    _waiting: Waiting[FrameT] | None = field(default=None, init=False)

    @property
    def empty(self) -> bool:
        """Whether no frame waits."""
        return self._waiting is None

    def offer(self, frame: FrameT, *, at_ns: int) -> FrameT | None:
        """Puts a frame in the place; returns the one that had to go for it."""
        before, self._waiting = self._waiting, Waiting(frame, at_ns)
        return before.frame if before else None

    def take(self, *, at_ns: int) -> tuple[Waiting[FrameT] | None, FrameT | None]:
        """Empties the place: (the frame to work on, None), (None, one that is too old), or (None, None)."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and at_ns - waiting.arrived_at_ns > self.max_age_ns:
            return None, waiting.frame
        return waiting, None
