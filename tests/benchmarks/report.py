"""What every benchmark prints and writes: figures, their bars, and the machine they were seen on."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

from rich.console import Console
from rich.table import Table

OUT = Path("benchmarks-out")


class Bar(Enum):
    """Which side of the bar is good."""

    AT_LEAST = ">="
    AT_MOST = "<="


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Attributes:
        name: what was measured.
        value: how much.
        unit: of the value, such as "%" or "ms".
        side: which side of the bar is good; None for a figure without a bar.
        bar: what must be reached.
    """

    name: str
    value: float
    unit: str
    side: Bar | None = None
    bar: float | None = None

    @property
    def met(self) -> bool:
        """Whether the bar is reached; a figure without one always is."""
        if self.side is None or self.bar is None:
            return True
        return self.value >= self.bar if self.side is Bar.AT_LEAST else self.value <= self.bar


def machine() -> str:
    """The processor, its cores and Python, in a line."""
    names = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def finish(name: str, figures: Sequence[Figure]) -> None:
    """Prints the figures, writes them as JSON, and exits with 1 when a bar is missed."""
    table = Table("figure", "seen", "bar", "", title=f"{name}: {machine()}")
    for figure in figures:
        bar = f"{figure.side.value} {figure.bar:g} {figure.unit}" if figure.side else ""
        verdict = ("met" if figure.met else "MISSED") if figure.side else ""
        table.add_row(figure.name, f"{figure.value:.4g} {figure.unit}", bar, verdict)
    Console(width=140).print(table)
    OUT.mkdir(exist_ok=True)
    rows = [{**asdict(figure), "side": figure.side.value if figure.side else None} for figure in figures]
    report = {"benchmark": name, "machine": machine(), "figures": rows}
    (OUT / f"{name}.json").write_text(json.dumps(report, indent=2) + "\n")
    sys.exit(0 if all(figure.met for figure in figures) else 1)
