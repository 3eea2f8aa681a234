"""A camera's time, made fit for measuring motion."""

from __future__ import annotations

from dataclasses import dataclass

_LONGEST_STEP_NS = 10 * 10**9


@dataclass(slots=True)
class CameraClock:
    """A camera's wall clock as a time that never goes back and never leaps far.

    Cameras' clocks are set while they run. Where one goes back or leaps, the server's own clock counts for that step.
    """

    _captured_ns: int = 0
    _arrived_ns: int | None = None
    _now_ns: int = 0

    def tick(self, captured_ns: int, arrived_ns: int) -> int:
        """The time of the next frame in nanoseconds, 0 for the first.

        Args:
            captured_ns: by the camera's wall clock.
            arrived_ns: by the server's monotonic clock.
        """
        if self._arrived_ns is not None:
            step = captured_ns - self._captured_ns
            self._now_ns += step if 0 < step <= _LONGEST_STEP_NS else max(0, arrived_ns - self._arrived_ns)
        self._captured_ns, self._arrived_ns = captured_ns, arrived_ns
        return self._now_ns
