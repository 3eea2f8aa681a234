"""Samples of the last seconds: what rates and percentiles of "now" are made of."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

PERIOD_NS = 10 * 10**9
"""How far back "now" reaches: long enough for steady figures at a frame a second, short enough to show a change."""

_MOST_SAMPLES = 20_000
"""Kept at most, so that no rate of frames takes much memory; the oldest go first."""
_LEAST_NS = 10**9
"""Samples of less time are taken for those of this much: a first frame of a stream is no thousand a second."""

SampleT = TypeVar("SampleT")


class Recent(Generic[SampleT]):
    """Samples with their times, forgotten after `PERIOD_NS`. Safe to use from several threads.

    Args:
        since_ns: when the first sample could have come; before a whole period has passed, rates count from there.
    """

    def __init__(self, since_ns: int) -> None:
        self._since_ns = since_ns
        self._samples: deque[tuple[int, SampleT]] = deque(maxlen=_MOST_SAMPLES)
        self._lock = threading.Lock()

    def add(self, sample: SampleT, *, at_ns: int) -> None:
        """Takes a sample; times don't go backwards by more than threads make them."""
        with self._lock:
            self._samples.append((at_ns, sample))
            self._forget(at_ns)

    def samples(self, *, at_ns: int) -> list[SampleT]:
        """The samples of the period that ends now, the oldest first."""
        with self._lock:
            self._forget(at_ns)
            return [sample for _, sample in self._samples]

    def seconds(self, *, at_ns: int) -> float:
        """How much time the samples of `samples` stand for."""
        return min(PERIOD_NS, max(_LEAST_NS, at_ns - self._since_ns)) / 1e9

    def _forget(self, at_ns: int) -> None:
        while self._samples and self._samples[0][0] <= at_ns - PERIOD_NS:
            self._samples.popleft()
