from __future__ import annotations

import itertools
import weakref
from collections import Counter

import pytest

from trainer.data.echo import WINDOW, Memory, Turn, turn_of


@pytest.mark.parametrize("uses", [1, 2, 3])
def test_every_batch_has_its_uses_one_after_the_other_and_never_in_a_row(uses):
    turns = [turn_of(step, uses) for step in range(4 * WINDOW * uses)]
    assert len(set(turns)) == len(turns)
    assert set(Counter(turn.question for turn in turns).values()) == {uses}
    assert set(Counter(turn.use for turn in turns).values()) == {4 * WINDOW}
    assert all(one.question != other.question for one, other in itertools.pairwise(turns))


def test_with_one_use_each_step_has_a_batch_of_its_own():
    assert [turn_of(step, 1) for step in (0, 1, 100)] == [Turn(0, 0), Turn(1, 0), Turn(100, 0)]


def test_each_batch_is_read_once_while_its_turns_last():
    read = []
    memory = Memory(lambda question: read.append(question) or -question, uses=3)
    answers = [memory.get(turn_of(step, 3).question) for step in range(6 * WINDOW)]
    assert read == list(range(2 * WINDOW))
    assert answers == [-turn_of(step, 3).question for step in range(6 * WINDOW)]


def test_what_was_forgotten_is_read_again():
    read = []
    memory = Memory(read.append, uses=2)
    for question in (*range(WINDOW + 1), 0):
        memory.get(question)
    assert read == [*range(WINDOW + 1), 0]


def test_with_one_use_no_batch_is_kept():
    class Batch:
        pass

    for uses, kept in ((1, False), (2, True)):
        memory = Memory(lambda _question: Batch(), uses=uses)
        batch = weakref.ref(memory.get(0))
        assert (batch() is not None) == kept
