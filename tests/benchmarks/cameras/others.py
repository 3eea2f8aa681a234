"""How much other work the machine did meanwhile: figures seen beside it are worth little."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Moment:
    """Processor time so far, of the whole machine and of this benchmark with the processes that it has ended."""

    at_s: float
    machine_s: float
    own_s: float


def moment() -> Moment:
    """Now. Linux only."""
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, _cpu_line().split()[1:])
    own = os.times()
    return Moment(
        time.monotonic(),
        (user + nice + system + irq + softirq) / _TICKS,
        own.user + own.system + own.children_user + own.children_system,
    )


def cores_of_others(before: Moment, after: Moment) -> float:
    """Cores that other programs kept busy between two moments between which every process of ours was ended."""
    busy = after.machine_s - before.machine_s - (after.own_s - before.own_s)
    return max(0.0, busy / (after.at_s - before.at_s))


def _cpu_line() -> str:
    return Path("/proc/stat").read_text().splitlines()[0]
