"""A window holds the last seconds, and rates don't explode at the start."""

from __future__ import annotations

import pytest

from server.window import WINDOW_NS, Window

SECOND = 10**9


@pytest.fixture
def window():
    return Window(since_ns=5 * SECOND)


def test_a_window_gives_the_samples_of_the_last_seconds_in_their_order(window):
    for number in range(30):
        window.add(number, at_ns=number * SECOND)
    assert window.samples(at_ns=29 * SECOND) == list(range(20, 30))


def test_samples_leave_a_window_without_new_ones(window):
    window.add("old", at_ns=6 * SECOND)
    assert window.samples(at_ns=6 * SECOND + WINDOW_NS - 1) == ["old"]
    assert window.samples(at_ns=6 * SECOND + WINDOW_NS) == []


@pytest.mark.parametrize(("age_s", "seconds"), [(0, 1), (0.5, 1), (3, 3), (10, 10), (500, 10)])
def test_the_time_that_samples_stand_for_is_the_window_s_age_between_one_second_and_its_length(window, age_s, seconds):
    assert window.seconds(at_ns=round((5 + age_s) * SECOND)) == seconds
