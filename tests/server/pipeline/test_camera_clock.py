"""A camera's time follows its wall clock, never goes back and never leaps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.pipeline.camera_clock import CameraClock

SECOND = 10**9
DAY = 86400 * SECOND


def ticks(*frames):
    clock = CameraClock()
    return [clock.tick(captured, arrived) for captured, arrived in frames]


def test_time_starts_at_nought_whatever_the_clocks_say():
    assert ticks((1_700_000_000 * SECOND, 55)) == [0]
    assert ticks((0, 0)) == [0]


def test_time_goes_by_the_camera_s_clock_and_not_by_when_frames_arrive():
    assert ticks((5 * SECOND, 0), (5 * SECOND + 40, 900), (5 * SECOND + 80, 901)) == [0, 40, 80]


def test_where_the_camera_s_clock_goes_back_the_server_s_counts_for_that_step():
    assert ticks((100, 0), (50, 30), (90, 75)) == [0, 30, 70]


def test_where_the_camera_s_clock_stands_the_server_s_counts():
    assert ticks((100, 0), (100, 30), (100, 75)) == [0, 30, 75]


def test_where_the_camera_s_clock_leaps_the_server_s_counts_for_that_step():
    assert ticks((0, 0), (DAY, 40), (DAY + 10, 80)) == [0, 40, 50]


def test_a_pause_of_ten_seconds_is_believed_and_a_longer_one_is_measured():
    assert ticks((0, 0), (10 * SECOND, 7)) == [0, 10 * SECOND]
    assert ticks((0, 0), (10 * SECOND + 1, 7)) == [0, 7]


@given(st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 60 * SECOND)), min_size=1))
def test_whatever_a_camera_claims_its_time_never_goes_back_nor_further_than_ten_seconds_or_the_wait(frames):
    clock, arrived, before = CameraClock(), 0, None
    for captured, gap in frames:
        arrived += gap
        now = clock.tick(captured, arrived)
        if before is not None:
            assert 0 <= now - before <= max(10 * SECOND, gap)
        before = now


@given(st.lists(st.integers(1, 10 * SECOND), max_size=30), st.integers(0, 2**60))
def test_a_good_clock_is_followed_to_the_nanosecond(steps, start):
    clock, captured = CameraClock(), start
    clock.tick(captured, 0)
    for step in steps:
        captured += step
        assert clock.tick(captured, 0) == captured - start
