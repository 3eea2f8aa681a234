"""The outcome for people: a table of who was seen when, and what is wrong if anything is."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from demo.check import Row, Verdict, spans

_COLUMNS = ("person", "enrolled", "seen", "clear frames", "named", "found", "nearest distance")


def print_verdict(verdict: Verdict, fps: int, console: Console) -> None:
    """Shows the table and the faults."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column in ("person", "enrolled", "seen") else "right")
    for row in verdict.rows:
        table.add_row(*(Text(cell) for cell in cells(row, fps)))
    console.print(table)
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(verdict.outcomes.items()))
    console.print(Text(f"frames by answer: {outcomes or 'none'}"))
    for fault in verdict.faults:
        console.print(Text(f"fault: {fault}", style="bold red"), soft_wrap=True)


def cells(row: Row, fps: int) -> tuple[str, ...]:
    """One line of the table."""
    seen = ", ".join(f"{_clock(first)}-{_clock(last)}" for first, last in spans(row.seen, fps))
    distance = f"{row.best[0]:.2f} of {row.best[1]:.2f}" if row.best else "-"
    return (
        row.person,
        "yes" if row.enrolled else "no",
        seen or "never",
        str(row.looked) if row.looked == row.clear else f"{row.looked} of {row.clear}",
        _share(row.named, row.looked),
        _share(row.found, row.looked),
        distance,
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "-"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds * 10), 600)
    return f"{minutes}:{rest // 10:02d}.{rest % 10}"
