"""How much of the machine was not ours meanwhile: figures seen beside other work are worth little."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Moment:
    """Processor time so far.

    Attributes:
        at_s: when, monotonic seconds.
        machine_s: of the whole machine.
        own_s: of this benchmark with the processes that it has ended.
        stolen_s: that programs here wanted while the host of this virtual machine ran something else.
    """

    at_s: float
    machine_s: float
    own_s: float
    stolen_s: float


def moment() -> Moment:
    """Now. Linux only."""
    user, nice, system, _idle, _iowait, irq, softirq, stolen, *_ = map(int, _cpu_line().split()[1:])
    own = os.times()
    return Moment(
        time.monotonic(),
        (user + nice + system + irq + softirq) / _TICKS,
        own.user + own.system + own.children_user + own.children_system,
        stolen / _TICKS,
    )


def cores_of_others(before: Moment, after: Moment) -> float:
    """Cores that other programs kept busy between two moments between which every process of ours was ended."""
    busy = after.machine_s - before.machine_s - (after.own_s - before.own_s)
    return max(0.0, busy / (after.at_s - before.at_s))


def cores_stolen(before: Moment, after: Moment) -> float:
    """Cores that the host of a virtual machine kept from it between two moments."""
    return (after.stolen_s - before.stolen_s) / (after.at_s - before.at_s)


def _cpu_line() -> str:
    return Path("/proc/stat").read_text().splitlines()[0]
