"""What every admin command knows: the server, the gallery, and how to answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from clients.client import Client
from clients.terminal import Terminal

_T = TypeVar("_T")


class Output(StrEnum):
    """What goes to standard output: tables for people, or one JSON object for programs."""

    TABLE = "table"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class AdminContext:
    """The options that all commands share."""

    server: str
    gallery: str
    output: Output
    timeout_s: float
    terminal: Terminal = field(default_factory=Terminal)

    def call(self, work: Callable[[Client], Awaitable[_T]]) -> _T:
        """Connects, works, disconnects."""

        async def connected() -> _T:
            async with Client(self.server, gallery=self.gallery, timeout_s=self.timeout_s) as client:
                return await work(client)

        return asyncio.run(connected())

    def answer(self, value: Mapping[str, object], columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Writes the value as JSON, or the rows as a table."""
        if self.output is Output.JSON:
            self.terminal.json(value)
        else:
            self.terminal.table(columns, rows)


def hoisted(arguments: Sequence[str], shared: frozenset[str]) -> list[str]:
    """The arguments with the shared options in front, so that they may be written before or after the command.

    Args:
        arguments: as the user wrote them.
        shared: options that take one value each, such as "--server".
    """
    front: list[str] = []
    rest: list[str] = []
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if argument == "--":
            return [*front, *rest, argument, *waiting]
        if argument in shared:
            front += [argument, *waiting[:1]]
            waiting = waiting[1:]
        elif argument.partition("=")[0] in shared and "=" in argument:
            front.append(argument)
        else:
            rest.append(argument)
    return [*front, *rest]
