"""Close looks are free while no frame waits, and few while frames do."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from server.pipeline.allowance import AllowanceRule, LookAllowance

RULE = AllowanceRule(busy=0.5, idle=4.0, saved=16.0, reserve=8.0, late=0.05)
SECOND = 10**9


def waited(allowance, share, frames=1):
    for _ in range(frames):
        allowance.frame(waited_ns=round(share * SECOND), max_age_ns=SECOND)


def spent(allowance, urgent):
    taken, _ = allowance.take(urgent, 0)
    return taken


def test_a_crowd_that_comes_in_is_looked_at_at_once():
    assert LookAllowance(RULE).take(16, 0) == (16, 0)


def test_while_frames_wait_there_is_a_look_for_every_second_of_them():
    allowance = LookAllowance(RULE)
    spent(allowance, 16)
    got = 0
    for _ in range(100):
        waited(allowance, 0.2)
        got += spent(allowance, 5)
    assert got == 50


def test_while_no_frame_waits_there_are_more_looks_than_anybody_asks_for():
    allowance = LookAllowance(RULE)
    for _ in range(100):
        assert allowance.take(2, 2) == (2, 2)
        waited(allowance, 0.04)


def test_looks_that_can_wait_leave_the_reserve_to_those_that_can_not():
    allowance = LookAllowance(RULE)
    assert allowance.take(0, 20) == (0, 8)
    assert allowance.take(20, 0) == (8, 0)


def test_it_spares_a_look_that_can_wait_exactly_while_one_could_be_had():
    allowance = LookAllowance(RULE)
    for _ in range(20):
        spared = allowance.spares
        assert allowance.take(0, 1) == (0, int(spared))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans()), max_size=60))
def test_nobody_gets_more_than_was_saved_and_came_in_nor_more_than_was_asked(steps):
    allowance, came, taken = LookAllowance(RULE), RULE.saved, 0
    for urgent, patient, busy in steps:
        first, second = allowance.take(urgent, patient)
        assert 0 <= first <= urgent
        assert 0 <= second <= patient
        taken += first + second
        assert taken <= came
        waited(allowance, 1.0 if busy else 0.0)
        came += RULE.busy if busy else RULE.idle


def test_many_threads_share_it_without_getting_more():
    allowance, taken = LookAllowance(AllowanceRule(saved=100.0)), []
    threads = [threading.Thread(target=lambda: taken.append(spent(allowance, 7))) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 100
