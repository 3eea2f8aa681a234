"""Where a face is expected: closed-form motion, whatever the frame rate."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.identity.motion import Motion

SECOND = 10**9


def box(x, y, width=60.0, height=80.0):
    return np.asarray([x - width / 2, y - height / 2, x + width / 2, y + height / 2], np.float32)


def walk(frames_per_s, velocity, seconds=3.0, start=(100.0, 200.0)):
    """A face that goes at a steady pace (pixels a second), seen so often."""
    count = round(seconds * frames_per_s)
    motion = Motion.start(box(*start), 0)
    for i in range(1, count + 1):
        at_s = i / frames_per_s
        motion = motion.moved(box(start[0] + velocity[0] * at_s, start[1] + velocity[1] * at_s), round(at_s * SECOND))
    return motion


def test_a_box_seen_once_stands_still_for_ever():
    motion = Motion.start(box(100, 200), 7)
    for at_ns in (7, SECOND, 60 * SECOND):
        np.testing.assert_allclose(motion.predicted(at_ns), box(100, 200))


@pytest.mark.parametrize("frames_per_s", [2, 5, 10, 25, 60])
def test_a_steady_pace_is_learnt_at_any_frame_rate(frames_per_s):
    motion = walk(frames_per_s, (90.0, -30.0))
    np.testing.assert_allclose(motion.velocity, [90, -30], rtol=0.01)
    assert motion.growth == pytest.approx(0, abs=1e-6)


def test_velocities_are_smoothed_in_seconds_so_that_after_a_quarter_of_one_two_thirds_are_known():
    for frames_per_s in (4, 20, 100):
        motion = walk(frames_per_s, (100.0, 0.0), seconds=0.25)
        assert motion.velocity[0] == pytest.approx(100 * (1 - math.exp(-1)), rel=0.001)


@pytest.mark.parametrize("gap_s", [0.04, 0.2, 0.5, 1.0, 10.0])
def test_a_prediction_is_the_integral_of_a_velocity_that_fades_within_half_a_second(gap_s):
    motion = walk(25, (120.0, 60.0))
    steps = np.linspace(0, gap_s, 20001)
    fading = np.exp(-steps / 0.5)
    travelled = np.asarray(motion.velocity) * np.sum((fading[1:] + fading[:-1]) / 2) * (steps[1] - steps[0])
    predicted = motion.predicted(motion.at_ns + round(gap_s * SECOND))
    np.testing.assert_allclose((predicted[:2] + predicted[2:]) / 2, motion.centre + travelled, atol=0.01)


def test_between_two_frames_a_walking_face_is_where_a_steady_pace_takes_it():
    motion = walk(25, (100.0, 0.0))
    predicted = motion.predicted(motion.at_ns + SECOND // 25)
    np.testing.assert_allclose(predicted, box(100 + 300 + 4, 200), atol=0.2)


def test_a_face_that_comes_nearer_is_expected_larger():
    motion = Motion.start(box(0, 0, 60, 80), 0)
    for i in range(1, 51):
        size = math.exp(0.5 * i / 25)
        motion = motion.moved(box(0, 0, 60 * size, 80 * size), i * SECOND // 25)
    assert motion.growth == pytest.approx(0.5, rel=0.01)
    predicted = motion.predicted(motion.at_ns + SECOND // 5)
    grown = math.exp(0.5 * 0.5 * (1 - math.exp(-0.2 / 0.5)))
    np.testing.assert_allclose((predicted[2:] - predicted[:2]) / motion.size, grown, rtol=0.01)


def test_a_leap_in_size_is_noise_and_makes_no_box_explode():
    motion = Motion.start(box(0, 0, 10, 10), 0).moved(box(0, 0, 1000, 1000), SECOND // 25)
    assert motion.growth <= 2
    predicted = motion.predicted(60 * SECOND)
    assert (predicted[2:] - predicted[:2]).max() <= 1000 * math.e


def test_a_second_box_at_the_same_time_moves_the_face_and_leaves_its_velocity():
    motion = walk(25, (100.0, 0.0))
    again = motion.moved(box(0, 0), motion.at_ns)
    np.testing.assert_array_equal(again.velocity, motion.velocity)
    np.testing.assert_allclose(again.predicted(again.at_ns), box(0, 0))


def test_a_time_that_is_earlier_predicts_no_past():
    motion = walk(25, (100.0, 0.0))
    np.testing.assert_array_equal(motion.predicted(0), motion.predicted(motion.at_ns))
    assert motion.moved(box(0, 0), 0).at_ns == motion.at_ns


def test_a_face_that_stood_in_a_still_picture_is_expected_where_it_was():
    walking = walk(25, (100.0, 0.0))
    stopped = walking.stopped(walking.at_ns + SECOND)
    assert stopped.at_ns == walking.at_ns + SECOND
    for later in (0, SECOND, 9 * SECOND):
        np.testing.assert_allclose(stopped.predicted(stopped.at_ns + later), walking.predicted(walking.at_ns))
    assert walking.stopped(0).at_ns == walking.at_ns


def test_the_reach_is_half_a_face_at_once_two_more_each_second_and_four_at_most():
    motion = Motion.start(box(0, 0, 60, 80), 0)
    reaches = [motion.reach(round(at_s * SECOND)) for at_s in (0, 0.5, 1, 1.75, 60)]
    assert reaches == pytest.approx([40, 120, 200, 320, 320])


@given(
    st.lists(
        st.tuples(st.integers(0, 20 * SECOND), *[st.floats(-5000, 5000, width=32)] * 2, *[st.floats(0, 3000)] * 2),
        min_size=1,
        max_size=20,
    ),
    st.integers(0, 100 * SECOND),
)
def test_whatever_boxes_come_predictions_are_finite_boxes_with_an_area(seen, later):
    motion, now = Motion.start(box(*seen[0][1:]), 0), 0
    for gap, *where in seen[1:]:
        now += gap
        motion = motion.moved(box(*where), now)
    predicted = motion.predicted(now + later)
    assert np.isfinite(predicted).all()
    assert (predicted[2:] > predicted[:2]).all()
