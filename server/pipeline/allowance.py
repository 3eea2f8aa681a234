"""How many faces may be looked at closely while frames have to wait.

A close look costs as much as finding all faces of a frame, and a busy server needs more of them: its frames lie further
apart, so that more faces are in doubt. Without a bound it would answer fewer frames the more it is asked. With one,
faces are found and followed in every frame, and some of them are named a few frames later.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AllowanceRule:
    """How looks are allowed.

    Attributes:
        busy: looks for each frame while frames wait.
        idle: looks for each frame otherwise; more than anybody asks for over some time.
        saved: looks that may be saved up, so that a crowd that comes in is looked at at once.
        reserve: of those, kept for faces of whom nothing is known yet.
        late: share of the age at which frames are dropped; a camera that waits longer than this for its turn shows that
            the server is busy. The age of its frame does not: a camera that sends many always has a fresh one.
    """

    busy: float = 0.5
    idle: float = 4.0
    saved: float = 16.0
    reserve: float = 8.0
    late: float = 0.05


class LookAllowance:
    """A token bucket that the frames of all cameras fill and their faces empty. Safe to call from many threads.

    Args:
        rule: how fast, and how much it holds.
    """

    def __init__(self, rule: AllowanceRule = AllowanceRule()) -> None:
        self._rule = rule
        self._left = rule.saved
        self._lock = threading.Lock()

    def frame(self, *, waited_ns: int, max_age_ns: int) -> None:
        """A frame is let in.

        Args:
            waited_ns: how long its camera waited for that.
            max_age_ns: the age at which its frames are dropped.
        """
        busy = waited_ns > self._rule.late * max_age_ns
        with self._lock:
            self._left = min(self._rule.saved, self._left + (self._rule.busy if busy else self._rule.idle))

    @property
    def spares(self) -> bool:
        """Whether a look that can wait could be had now."""
        return self._left >= self._rule.reserve + 1

    def take(self, urgent: int, patient: int) -> tuple[int, int]:
        """How many of a frame's faces may be looked at.

        Args:
            urgent: faces of whom nothing can be said before.
            patient: others.

        Returns:
            How many of each.
        """
        with self._lock:
            first = min(urgent, int(self._left))
            self._left -= first
            second = min(patient, int(max(0.0, self._left - self._rule.reserve)))
            self._left -= second
            return first, second
