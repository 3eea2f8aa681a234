"""What every section of this benchmark takes and gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.benchmarks.report import Figure


@dataclass(frozen=True, slots=True)
class Size:
    """How long to measure.

    Attributes:
        rounds: of things that are compared; they take turns, so that a slow minute hits all of them.
        round_s: of one of them in one round, seconds.
        live_s: of the live cameras, seconds.
        memory_s: of the watch over memory, seconds.
        connects: streams that are opened and closed.
    """

    rounds: int
    round_s: float
    live_s: float
    memory_s: float
    connects: int


FULL = Size(rounds=5, round_s=10, live_s=600, memory_s=600, connects=1000)
QUICK = Size(rounds=2, round_s=4, live_s=60, memory_s=60, connects=200)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a section found.

    Attributes:
        figures: for the table.
        series: numbers for plots, by name.
        notes: what a reader of the figures must know.
    """

    figures: Sequence[Figure]
    series: dict[str, Sequence[float]] = field(default_factory=dict)
    notes: Sequence[str] = ()
