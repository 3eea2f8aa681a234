"""Samples are kept for some seconds, and rates don't explode at the start."""

from __future__ import annotations

import pytest

from server.recent import PERIOD_NS, Recent

SECOND = 10**9


@pytest.fixture
def recent():
    return Recent(since_ns=5 * SECOND)


def test_the_samples_are_those_of_the_last_seconds_in_their_order(recent):
    for number in range(30):
        recent.add(number, at_ns=number * SECOND)
    assert recent.samples(at_ns=29 * SECOND) == list(range(20, 30))


def test_samples_leave_although_no_new_ones_come(recent):
    recent.add("old", at_ns=6 * SECOND)
    assert recent.samples(at_ns=6 * SECOND + PERIOD_NS - 1) == ["old"]
    assert recent.samples(at_ns=6 * SECOND + PERIOD_NS) == []


@pytest.mark.parametrize(("age_s", "seconds"), [(0, 1), (0.5, 1), (3, 3), (10, 10), (500, 10)])
def test_the_time_that_samples_stand_for_is_between_one_second_and_the_period(recent, age_s, seconds):
    assert recent.seconds(at_ns=round((5 + age_s) * SECOND)) == seconds
