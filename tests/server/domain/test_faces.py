"""Faces keep what they are in pictures of other sizes."""

from __future__ import annotations

import numpy as np
import pytest

from server.domain import Faces


def some_faces(count=3):
    rng = np.random.default_rng(1)
    return Faces(
        rng.uniform(0, 500, (count, 4)).astype(np.float32),
        rng.uniform(0, 500, (count, 5, 2)).astype(np.float32),
        rng.uniform(0, 1, count).astype(np.float32),
    )


@pytest.mark.parametrize("factor", [2, 4, 8, 0.5])
def test_faces_in_a_larger_picture_are_as_much_larger_and_as_surely_faces(factor):
    faces = some_faces()
    scaled = faces.scaled(factor)
    np.testing.assert_allclose(scaled.boxes, faces.boxes * factor)
    np.testing.assert_allclose(scaled.landmarks, faces.landmarks * factor)
    np.testing.assert_array_equal(scaled.scores, faces.scores)
    assert {array.dtype for array in (scaled.boxes, scaled.landmarks, scaled.scores)} == {np.dtype(np.float32)}


def test_faces_of_a_picture_as_large_are_the_same():
    faces = some_faces()
    np.testing.assert_array_equal(faces.scaled(1).boxes, faces.boxes)
    np.testing.assert_array_equal(faces.scaled(1).landmarks, faces.landmarks)


def test_scaling_there_and_back_gives_the_faces_and_leaves_the_first_as_they_were():
    faces = some_faces()
    before = faces.boxes.copy()
    np.testing.assert_array_equal(faces.scaled(8).scaled(1 / 8).boxes, before)
    np.testing.assert_array_equal(faces.boxes, before)


def test_no_faces_scale_to_no_faces():
    assert len(Faces.none().scaled(4)) == 0
