"""Alignment lays landmarks on the template, by least squares, without aliasing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain import AlignmentTemplate
from server.vision.align import align, similarities

TEMPLATE = AlignmentTemplate(112, 112, ((38.29, 51.70), (73.53, 51.50), (56.03, 71.74), (41.55, 92.37), (70.73, 92.20)))
POINTS = np.asarray(TEMPLATE.points)


def moved(scale, angle, shift):
    """The template's points after a similarity, (1, 5, 2) float32."""
    turn = scale * np.asarray([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (POINTS @ turn.T + shift).astype(np.float32)[None]


def by_least_squares(landmarks):
    """The same transform from a linear system in a, b, tx, ty: x' = ax - by + tx, y' = bx + ay + ty."""
    x, y = landmarks.astype(np.float64).T
    one, zero = np.ones(5), np.zeros(5)
    system = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    (a, b, tx, ty), *_ = np.linalg.lstsq(system, np.concatenate(POINTS.T), rcond=None)
    return np.asarray([[a, -b, tx], [b, a, ty]])


@given(
    scale=st.floats(0.2, 20),
    angle=st.floats(-np.pi, np.pi),
    shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)
def test_landmarks_that_are_a_moved_template_land_on_the_template(scale, angle, shift):
    landmarks = moved(scale, angle, shift)
    (matrix,) = similarities(landmarks, TEMPLATE)
    landed = landmarks[0] @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(landed, POINTS, atol=0.02)


def test_noisy_landmarks_give_the_least_squares_similarity():
    rng = np.random.default_rng(0)
    landmarks = rng.uniform(0, 300, (20, 5, 2)).astype(np.float32)
    expected = np.stack([by_least_squares(points) for points in landmarks])
    np.testing.assert_allclose(similarities(landmarks, TEMPLATE), expected, atol=1e-6)


def test_a_mirrored_face_is_not_reflected():
    mirrored = POINTS * [-1, 1] + [200, 0]
    (matrix,) = similarities(mirrored.astype(np.float32)[None], TEMPLATE)
    assert np.linalg.det(matrix[:, :2]) > 0


def test_landmarks_on_one_spot_give_a_flat_crop_and_no_warning():
    image = np.random.default_rng(0).integers(0, 255, (50, 50, 3), np.uint8)
    (crop,) = align(image, np.full((1, 5, 2), 20, np.float32), TEMPLATE)
    assert crop.shape == (112, 112, 3)
    assert np.ptp(crop.reshape(-1, 3), axis=0).max() == 0


def test_no_faces_give_no_crops():
    assert align(np.zeros((9, 9, 3), np.uint8), np.zeros((0, 5, 2), np.float32), TEMPLATE).shape == (0, 112, 112, 3)


def test_beyond_the_image_a_crop_is_black():
    image = np.full((60, 60, 3), 255, np.uint8)
    (crop,) = align(image, moved(1, 0, [-60, -60]), TEMPLATE)
    assert crop[:40, :40].max() == 0


@pytest.mark.parametrize("scale", [1.0, 1.7, 4.0, 9.0])
def test_a_large_face_is_shrunk_like_an_area_average(scale):
    rng = np.random.default_rng(3)
    face = cv2.GaussianBlur(rng.integers(0, 255, (112, 112, 3), np.uint8), (0, 0), 3)
    side = round(112 * scale)
    large = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
    image = np.zeros((side + 200, side + 200, 3), np.uint8)
    image[60 : 60 + side, 90 : 90 + side] = large
    centre = (scale - 1) / 2  # pixel centres: x' = scale (x + 0.5) - 0.5
    (crop,) = align(image, moved(scale, 0, [90 + centre, 60 + centre]), TEMPLATE)
    assert np.abs(crop[4:-4, 4:-4].astype(int) - face[4:-4, 4:-4]).mean() < 2.5


def test_fine_stripes_are_averaged_away_when_a_large_face_shrinks():
    image = np.zeros((1200, 1200, 3), np.uint8)
    image[:, ::2] = 255
    (crop,) = align(image, moved(8, 0, [100, 100]), TEMPLATE)
    inside = crop[10:-10, 10:-10].astype(int)
    assert abs(inside.mean() - 127.5) < 4
    assert inside.std() < 8
