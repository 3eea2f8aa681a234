"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(slots=True)
class Backoff:
    """Waits that double from `initial_s` to `maximum_s`, each a little longer or shorter so that cameras spread out.

    Attributes:
        initial_s: the shortest wait, seconds.
        maximum_s: the longest wait, seconds.
        rng: source of the jitter.
    """

    initial_s: float = 0.5
    maximum_s: float = 30.0
    rng: random.Random = field(default_factory=random.Random)
    _attempt: int = field(default=0, init=False)

    def next_s(self) -> float:
        """The next wait: between `initial_s` and `maximum_s`."""
        # 2**64 is longer than any wait; without the cap the power itself overflows after a long night.
        wait = min(self.maximum_s, self.initial_s * 2.0 ** min(self._attempt, 64))
        self._attempt += 1
        return min(self.maximum_s, max(self.initial_s, wait * self.rng.uniform(0.75, 1.25)))

    def reset(self) -> None:
        """Starts over, after a success."""
        self._attempt = 0
