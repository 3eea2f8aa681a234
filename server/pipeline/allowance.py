"""How many faces may be looked at closely while frames have to wait.

A close look costs as much as finding all faces of a frame, and a busy server needs more of them: its frames lie further
apart, so that more faces are in doubt. Without a bound it would answer fewer frames the more it is asked. With one,
faces are found and followed in every frame, and some of them are named a few frames later.

Looks give way by degrees, because a rule that knows only busy and idle flips between the two. What counts is how long
cameras wait for their turn as a multiple of the work on a frame: in a queue this ratio depends only on how much of the
time somebody works, not on how fast. The age of frames says nothing, since a camera that sends many always has a fresh
one.

Of a busy server drops say more, since cameras that heed the advice wait there as well, but lose no frame. Each camera
pays for its own: one that floods the server has fewer looks, and those beside it have theirs.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_LEARNING = 0.2
"""How far the share of a camera's frames that is dropped follows the last ones, 0..1."""


@dataclass(frozen=True, slots=True)
class AllowanceRule:
    """How looks are allowed.

    Attributes:
        idle: looks for each frame while none waits; more than anybody asks for over some time.
        busy: looks for each frame while frames wait as long as `late` says, or longer.
        dropping: looks for each frame of a camera that loses as many to a busy server as `lost` says, or more.
        late: ratio of waiting to work of frames on a busy server.
        lost: share of a camera's frames that is dropped, of which it has as few looks as `dropping` says, 0..1.
        memory_s: waiting is an average over about so long, seconds.
        rest_s: after so long without a frame everything is as in the beginning, seconds.
        saved: looks that may be saved up, so that a crowd that comes in is looked at at once.
        reserve: of those, kept for faces of whom nothing is known yet.
    """

    idle: float = 4.0
    busy: float = 0.75
    dropping: float = 0.5
    late: float = 0.5
    lost: float = 0.1
    memory_s: float = 0.25
    rest_s: float = 2.0
    saved: float = 16.0
    reserve: float = 8.0


class LookAllowance:
    """A token bucket that the frames of all cameras fill and their faces empty. Safe to call from many threads.

    Args:
        rule: how fast, and how much it holds.
        places: frames of which several faces may be looked at at the same time, at least 1. With fewer places than
            threads, a cut in several cameras at once leaves threads that find faces meanwhile.
    """

    def __init__(self, rule: AllowanceRule = AllowanceRule(), *, places: int = 1) -> None:
        self.rule = rule
        self._places = places
        self._left = rule.saved
        self._waited_s = 0.0
        self._free = 1.0
        self._last_ns: int | None = None
        self._lock = threading.Lock()

    def camera(self) -> CameraAllowance:
        """The part of a camera that comes."""
        return CameraAllowance(self)

    def frame(self, *, waited_ns: int, work_s: float, at_ns: int) -> None:
        """A frame is let in; as `CameraAllowance.frame`."""
        rule = self.rule
        with self._lock:
            gap_s = (at_ns - self._last_ns) / 1e9 if self._last_ns is not None else 0.0
            self._last_ns = at_ns
            self._waited_s += (1 - math.exp(-gap_s / rule.memory_s)) * (waited_ns / 1e9 - self._waited_s)
            self._free = max(0.0, 1 - self._waited_s / (rule.late * work_s)) if work_s else 1.0
            more = rule.busy + self._free * (rule.idle - rule.busy) if gap_s < rule.rest_s else rule.saved
            self._left = min(rule.saved, self._left + more)

    @property
    def free(self) -> float:
        """How far from busy the server is: 0 while frames wait as long as `late` says, 1 while none waits."""
        return self._free

    @property
    def spares(self) -> bool:
        """Whether a look that can wait could be had now."""
        return self._left >= self.rule.reserve + 1

    @contextmanager
    def taken(self, urgent: int, patient: int) -> Iterator[tuple[int, int]]:
        """Takes looks at a frame's faces; as `CameraAllowance.taken`."""
        with self._lock:
            placed = urgent + patient > 1 and self._places > 0
            self._places -= placed
            if placed:
                looks = self._take(urgent, patient)
            else:
                looks = self._take(1, 0) if urgent else self._take(0, min(patient, 1))
        try:
            yield looks
        finally:
            with self._lock:
                self._places += placed

    def _take(self, urgent: int, patient: int) -> tuple[int, int]:
        first = min(urgent, int(self._left))
        self._left -= first
        second = min(patient, int(max(0.0, self._left - self.rule.reserve)))
        self._left -= second
        return first, second


class CameraAllowance:
    """One camera's part: what all have, and less while a busy server drops its frames. Safe to call from many threads.

    Args:
        shared: what all cameras have.
    """

    def __init__(self, shared: LookAllowance) -> None:
        self._shared = shared
        self._left = shared.rule.saved
        self._drops = 0
        self._dropped = 0.0
        self._lock = threading.Lock()

    def frame(self, *, waited_ns: int, work_s: float, at_ns: int) -> None:
        """A frame of this camera is let in.

        Args:
            waited_ns: how long the camera waited for that.
            work_s: how long frames are worked on, seconds; 0 when that is not known yet.
            at_ns: now, monotonic.
        """
        self._shared.frame(waited_ns=waited_ns, work_s=work_s, at_ns=at_ns)
        rule = self._shared.rule
        with self._lock:
            self._dropped += _LEARNING * (self._drops / (self._drops + 1) - self._dropped)
            self._drops = 0
            kept = max(self._shared.free, 1 - self._dropped / rule.lost)
            more = rule.dropping + kept * (rule.idle - rule.dropping)
            self._left = min(1 + kept * (rule.saved - 1), self._left + more)

    def drop(self) -> None:
        """A frame of this camera is left out because there is no time for it."""
        with self._lock:
            self._drops += 1

    @property
    def spares(self) -> bool:
        """Whether a look that can wait could be had now."""
        return self._left >= 1 and self._shared.spares

    @contextmanager
    def taken(self, urgent: int, patient: int) -> Iterator[tuple[int, int]]:
        """Takes looks at a frame's faces; they are had until the block ends.

        Args:
            urgent: faces of whom nothing can be said before.
            patient: others.

        Yields:
            How many of each may be looked at: one in all where several are wanted and all places are taken.
        """
        with self._lock:
            own = int(self._left)
            first = min(urgent, own)
            second = min(patient, own - first)
            self._left -= first + second
        with self._shared.taken(first, second) as looks:
            with self._lock:
                self._left += first + second - sum(looks)
            yield looks
