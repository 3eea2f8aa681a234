"""Whoever has a number takes its turn after all earlier ones, and nobody waits for ever."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from server.errors import UnavailableError
from server.pipeline.turns import Turns


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.fixture
def turns():
    turns = Turns()
    yield turns
    turns.close()  # or a failed test would wait for its threads


def take(turns, number, note=lambda number: None):
    try:
        with turns.turn(number):
            note(number)
    finally:
        turns.finish(number)


def test_numbers_are_issued_upwards_from_nought(turns):
    assert [turns.issue() for _ in range(4)] == [0, 1, 2, 3]


def test_however_the_threads_are_scheduled_turns_are_taken_one_at_a_time_in_the_numbers_order(turns, pool):
    rng, order, inside = random.Random(3), [], []

    def note(number):
        inside.append(number)
        time.sleep(0.0005)
        order.append(number)
        assert inside.pop() == number

    numbers = [turns.issue() for _ in range(40)]
    batches = [numbers[start : start + 8] for start in range(0, 40, 8)]  # more than there are threads can't wait
    for batch in batches:
        rng.shuffle(batch)
        for future in [pool.submit(take, turns, number, note) for number in batch]:
            future.result()
    assert order == numbers


def test_a_number_that_is_finished_without_a_turn_holds_nobody_up(turns, pool):
    skipped, first, second = turns.issue(), turns.issue(), turns.issue()
    order = []
    waiting = [pool.submit(take, turns, number, order.append) for number in (second, first)]
    assert order == []
    turns.finish(skipped)
    for future in waiting:
        future.result()
    assert order == [first, second]


def test_a_turn_waits_until_the_one_before_is_finished_and_not_only_left(turns, pool):
    first, second = turns.issue(), turns.issue()
    with turns.turn(first):
        pass
    done = threading.Event()
    waiting = pool.submit(take, turns, second, lambda number: done.set())
    assert not done.wait(0.02)
    turns.finish(first)
    waiting.result()


def test_a_turn_that_fails_lets_the_next_one_go(turns):
    first, second = turns.issue(), turns.issue()

    def fail(number):
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        take(turns, first, fail)
    with turns.turn(second):
        pass


def test_finishing_twice_or_out_of_order_lets_nobody_in_too_early(turns, pool):
    numbers = [turns.issue() for _ in range(3)]
    turns.finish(numbers[1])
    turns.finish(numbers[1])
    done = threading.Event()
    waiting = pool.submit(take, turns, numbers[2], lambda number: done.set())
    assert not done.wait(0.02)
    turns.finish(numbers[0])
    turns.finish(numbers[0])
    waiting.result()
    assert done.is_set()


def test_closing_sends_everybody_away_who_waits_and_who_comes_later(turns, pool):
    numbers = [turns.issue() for _ in range(4)]
    waiting = [pool.submit(take, turns, number) for number in numbers[1:]]
    turns.close()
    for future in waiting:
        with pytest.raises(UnavailableError) as refused:
            future.result()
        assert refused.value.reason == "STREAM_CLOSED"
    with pytest.raises(UnavailableError):
        take(turns, numbers[0])
