"""Uses each batch that an older model has answered for several steps, since asking costs more than learning."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

WINDOW = 8
"""Batches that come in turn, so that one doesn't come twice in a row."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What a step learns from.

    Attributes:
        question: number of the batch, counted from 0.
        use: how often the batch was used before.
    """

    question: int
    use: int


def turn_of(step: int, uses: int) -> Turn:
    """The turn of a step: `WINDOW` batches come one after the other, `uses` times, before the next ones do."""
    block, place = divmod(step, WINDOW * uses)
    use, number = divmod(place, WINDOW)
    return Turn(block * WINDOW + number, use)


class Memory(Generic[T]):
    """Remembers the last `WINDOW` batches, and reads again what it has not got, such as when a run was resumed."""

    def __init__(self, read: Callable[[int], T], *, uses: int) -> None:
        """Reads the batch of a number with `read`, which must answer the same number always alike.

        Nothing is kept where each batch has a single use.
        """
        self._read = read
        self._room = WINDOW if uses > 1 else 0
        self._kept: OrderedDict[int, T] = OrderedDict()

    def get(self, question: int) -> T:
        """The batch of a number."""
        if question in self._kept:
            return self._kept[question]
        batch = self._read(question)
        self._kept[question] = batch
        while len(self._kept) > self._room:
            self._kept.popitem(last=False)
        return batch
