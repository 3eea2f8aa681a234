"""A face in its window: geometry held against point-by-point arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain import Faces
from server.vision.refine import cut, refined, windows

SIDE = 64


def faces_at(boxes, landmarks=None):
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    points = np.repeat(middles[:, None], 5, axis=1) if landmarks is None else np.asarray(landmarks, np.float32)
    return Faces(boxes, points.astype(np.float32), np.ones(len(boxes), np.float32))


def naive_window(box, margin):
    """Scale and shift from the image to the window."""
    left, top, right, bottom = (float(value) for value in box)
    extent = max(right - left, bottom - top) * margin
    scale = SIDE / extent
    return scale, SIDE / 2 - scale * (left + right) / 2, SIDE / 2 - scale * (top + bottom) / 2


@given(
    st.lists(
        st.tuples(st.floats(-50, 500), st.floats(-50, 500), st.floats(2, 300), st.floats(2, 300)),
        min_size=1,
        max_size=4,
    ),
    st.floats(1, 4),
)
def test_a_window_is_a_square_around_the_middle_of_the_box(corners, margin):
    boxes = [(x, y, x + width, y + height) for x, y, width, height in corners]
    faces = faces_at(boxes)
    for matrix, box in zip(windows(faces, side=SIDE, margin=margin), faces.boxes, strict=True):
        scale, shift_x, shift_y = naive_window(box, margin)
        np.testing.assert_allclose(matrix, [[scale, 0, shift_x], [0, scale, shift_y]], rtol=1e-4, atol=1e-2)


def test_a_box_without_extent_still_has_a_window():
    (matrix,) = windows(faces_at([[30, 40, 30, 40]]), side=SIDE, margin=2.0)
    assert np.isfinite(matrix).all()


def test_a_window_shows_the_picture_around_the_face_and_black_beyond_it():
    image = np.zeros((100, 100, 3), np.uint8)
    image[:50, :50] = (10, 20, 30)
    image[50:, 50:] = (90, 90, 90)
    faces = faces_at([[34, 34, 66, 66], [0, 0, 32, 32]])  # windows of 64 pixels at scale 1
    inside, corner = cut(image, windows(faces, side=SIDE, margin=2.0), side=SIDE)
    np.testing.assert_array_equal(inside[:32, :32], np.full((32, 32, 3), (10, 20, 30)))
    np.testing.assert_array_equal(inside[32:, 32:], np.full((32, 32, 3), 90))
    assert not corner[:16].any()
    assert not corner[:, :16].any()
    np.testing.assert_array_equal(corner[16:, 16:], np.full((48, 48, 3), (10, 20, 30)))


def test_no_faces_have_no_windows():
    image = np.zeros((10, 10, 3), np.uint8)
    assert cut(image, windows(Faces.none(), side=SIDE, margin=2.0), side=SIDE).shape == (0, SIDE, SIDE, 3)


def in_window(points, matrix):
    """Points of the image in pixels of the window."""
    return np.asarray(points) * matrix[0, 0] + matrix[:, 2]


def found(*landmarks):
    """What a detector says of a window: faces with these landmarks."""
    points = np.asarray(landmarks, np.float32).reshape(-1, 5, 2)
    return faces_at(np.zeros((len(points), 4)), points)


PENTAGON = np.asarray([(40, 40), (60, 40), (50, 50), (43, 60), (57, 60)], np.float32)
BOX = [[35, 35, 65, 65]]
LIMIT = 30 / 3
"""How far landmarks may move on average: a third of the box."""


@pytest.fixture
def face():
    return faces_at(BOX, [PENTAGON])


@pytest.fixture
def matrices(face):
    return windows(face, side=SIDE, margin=2.0)


def test_landmarks_found_in_the_window_replace_the_first_ones(face, matrices):
    better = PENTAGON + np.random.default_rng(1).normal(0, 2, (5, 2))
    (points,) = refined(face, matrices, [found(in_window(better, matrices[0]))]).landmarks
    np.testing.assert_allclose(points, better, atol=1e-3)


def test_of_several_faces_in_the_window_the_nearest_counts(face, matrices):
    candidates = [PENTAGON + shift for shift in (8, -3, 5)]
    inside = found(*(in_window(points, matrices[0]) for points in candidates))
    (points,) = refined(face, matrices, [inside]).landmarks
    np.testing.assert_allclose(points, PENTAGON - 3, atol=1e-3)


@pytest.mark.parametrize(("away", "moves"), [(LIMIT - 0.1, True), (LIMIT + 0.1, False)])
def test_a_face_that_is_found_only_elsewhere_keeps_its_landmarks(face, matrices, away, moves):
    other = PENTAGON + np.asarray([away, 0])
    (points,) = refined(face, matrices, [found(in_window(other, matrices[0]))]).landmarks
    np.testing.assert_allclose(points, other if moves else PENTAGON, atol=1e-3)


def test_a_face_that_is_not_found_again_keeps_its_landmarks(face, matrices):
    after = refined(face, matrices, [Faces.none()])
    np.testing.assert_array_equal(after.landmarks, face.landmarks)


def test_each_face_has_the_landmarks_of_its_own_window():
    faces = faces_at([*BOX, [135, 35, 165, 65]], [PENTAGON, np.add(PENTAGON, (100, 0))])
    matrices = windows(faces, side=SIDE, margin=2.0)
    inside = [found(in_window(points + 1, matrix)) for points, matrix in zip(faces.landmarks, matrices, strict=True)]
    after = refined(faces, matrices, inside)
    np.testing.assert_allclose(after.landmarks, faces.landmarks + 1, atol=1e-3)
    np.testing.assert_array_equal(after.boxes, faces.boxes)
    np.testing.assert_array_equal(after.scores, faces.scores)


def test_the_faces_that_were_given_are_not_written_to(face, matrices):
    before = face.landmarks.copy()
    refined(face, matrices, [found(in_window(PENTAGON + 2, matrices[0]))])
    np.testing.assert_array_equal(face.landmarks, before)
