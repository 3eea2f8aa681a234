"""Where commands write: data to standard output, talk to standard error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from clients.errors import ClientError
from clients.text import json_line, printable

_WIDE = 10_000
"""Columns of a file or pipe: nothing is cut or wrapped there."""


class Terminal:
    """Standard output and standard error. Colours only where a person looks (and NO_COLOR is unset)."""

    def __init__(self) -> None:
        self.out = _console(Console(highlight=False, markup=False, emoji=False))
        self.err = _console(Console(highlight=False, markup=False, emoji=False, stderr=True))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, to_stderr: bool = False) -> None:
        """Writes a table. Cells come from anywhere and are made safe here."""
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for column in columns:
            table.add_column(Text(column), overflow="fold")
        for row in rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        console = self.err if to_stderr else self.out
        if console.is_terminal:
            console.print(table)
            return
        with console.capture() as capture:
            console.print(table)
        for line in capture.get().splitlines():
            console.print(Text(line.rstrip()), soft_wrap=True)

    def show(self, picture: RenderableType) -> None:
        """Writes something that rich draws, whose texts were made safe."""
        self.out.print(picture)

    def json(self, value: Mapping[str, object]) -> None:
        """Writes one line of JSON, at once."""
        sys.stdout.write(json_line(value) + "\n")
        sys.stdout.flush()

    def say(self, text: str) -> None:
        """Writes a line of data."""
        self.out.print(Text(printable(text)), soft_wrap=True)

    def note(self, text: str) -> None:
        """Tells the user something that is not data."""
        self.err.print(Text(printable(text)), soft_wrap=True)

    def error(self, error: ClientError) -> None:
        """Says what was wrong and what to do next."""
        self.err.print(
            Text("error: ", style="bold red").append(Text(printable(error.message), style="not bold default")),
            soft_wrap=True,
        )
        if error.hint:
            self.err.print(Text(f"  {printable(error.hint)}"), soft_wrap=True)

    def progress(self, *, shown: bool) -> Progress:
        """A progress bar on standard error, if that is a terminal and the bar is wanted."""
        return Progress(
            SpinnerColumn(),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=self.err,
            disable=not (shown and self.err.is_terminal),
            transient=True,
        )


def _console(console: Console) -> Console:
    if not console.is_terminal:
        console.width = _WIDE
    return console


class NoteHandler(logging.Handler):
    """Shows this package's log to the user of a command."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__(logging.INFO)
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one line."""
        self._terminal.note(record.getMessage())
