"""Drawn faces are always the same, differ from each other, and have their landmarks where they are said to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from server.vision.portrait import draw_crowd, draw_portrait, landmarks_of, portrait


def test_the_same_seed_draws_the_same_face():
    assert portrait(3) == portrait(3)
    np.testing.assert_array_equal(draw_portrait(portrait(3), 64), draw_portrait(portrait(3), 64))


def test_different_seeds_draw_different_faces():
    assert len({portrait(seed) for seed in range(50)}) == 50


@pytest.mark.parametrize("side", [40, 96, 161])
def test_a_portrait_has_the_side_that_was_asked_for(side):
    drawn = draw_portrait(portrait(0), side)
    assert drawn.shape == (side, side, 3)
    assert drawn.dtype == np.uint8


@pytest.mark.parametrize("seed", range(8))
def test_eyes_and_nose_lie_where_the_landmarks_say(seed):
    """The whites of the eyes are the brightest spots of the face's upper half, whatever the head's lean."""
    side = 200
    face = replace(portrait(seed), skin=(60.0, 82.0, 124.0), hair=(30.0, 30.0, 30.0))
    brightness = draw_portrait(face, side).astype(float).mean(axis=2)
    for x, y in landmarks_of(face, side)[:2]:
        window = brightness[int(y) - 12 : int(y) + 13, int(x) - 12 : int(x) + 13]
        rows, columns = np.nonzero(window > 170)
        assert abs(rows.mean() - 12) < 3
        assert abs(columns.mean() - 12) < 3


def test_landmarks_are_in_the_order_of_the_field():
    upright = replace(portrait(0), tilt_deg=0.0)
    left_eye, right_eye, nose, left_mouth, right_mouth = landmarks_of(upright, 100)
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < nose[0] < right_mouth[0]
    assert left_eye[1] < nose[1] < left_mouth[1]


def test_a_crowd_is_made_of_portraits_row_by_row():
    crowd = draw_crowd(range(7), columns=3, side=40)
    assert crowd.shape == (80, 120, 3)  # the seventh fills no row
    np.testing.assert_array_equal(crowd[40:, 40:80], draw_portrait(portrait(4), 40))
