"""A glance tells the same face a moment later from another face in its place, through light, motion and trembling."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain import Faces
from server.vision.likeness import Glance, glances, glances_of, likeness, signatures
from tests.painted import PaintedFace, paint, person, somebody

POINTS = np.asarray([[0.3, 0.35], [0.7, 0.35], [0.5, 0.578], [0.336, 0.79], [0.664, 0.79]], np.float32)


def faces_at(*places):
    """Frontal faces with (middle x, middle y, side)."""
    boxes = np.asarray([[x - side / 2, y - side / 2, x + side / 2, y + side / 2] for x, y, side in places], np.float32)
    sides = (boxes[:, 2] - boxes[:, 0])[:, None, None]
    landmarks = boxes[:, None, :2] + POINTS[None] * sides
    return Faces(boxes, landmarks.astype(np.float32), np.ones(len(places), np.float32))


def glance(embedding, *, x=98, y=98, side=64, **looks):
    picture = paint([PaintedFace(embedding, side=side, x=x, y=y, **looks)])
    return glances(picture, faces_at((x, y, side)))[0]


def naive_likeness(before, after):
    """The best correlation of the middle of one with every place in the other, in loops."""
    core = before[6:34, 6:34].astype(np.float64)
    core -= core.mean()
    best = -1.0
    for top in range(13):
        for left in range(13):
            part = after[top : top + 28, left : left + 28].astype(np.float64)
            part -= part.mean()
            norm = np.linalg.norm(core) * np.linalg.norm(part)
            best = max(best, float((core * part).sum() / norm))
    return best


@given(st.integers(0, 2**31), st.floats(0, 1))
@settings(max_examples=20)
def test_likeness_is_the_best_correlation_over_shifts_that_loops_find(seed, share):
    rng = np.random.default_rng(seed)
    before, other = rng.integers(0, 256, (2, 40, 40))
    after = np.roll(share * before + (1 - share) * other, rng.integers(-6, 7, 2), (0, 1)).astype(np.uint8)
    assert likeness(before.astype(np.uint8), after) == pytest.approx(naive_likeness(before, after), abs=1e-3)


@given(st.integers(0, 2**31), st.floats(0, 1), st.sampled_from([0.55, 0.65, 0.9]), st.booleans())
@settings(max_examples=200)
def test_a_glance_is_like_another_exactly_when_their_likeness_says_so(seed, share, bar, shifted):
    rng = np.random.default_rng(seed)
    before, other = rng.integers(0, 256, (2, 40, 40))
    after = share * before + (1 - share) * other
    seen = np.asarray([before, np.roll(after, rng.integers(-6, 7, 2), (0, 1)) if shifted else after], np.uint8)
    one, two = (Glance(*each) for each in zip(seen, signatures(seen), strict=True))
    assert two.is_like(one, bar) == (likeness(one.picture, two.picture) >= bar)


def test_the_product_of_two_signatures_is_their_correlation():
    seen = np.random.default_rng(0).integers(0, 256, (2, 40, 40), np.uint8)
    middles = seen[:, 6:34, 6:34].reshape(2, -1)
    one, two = signatures(seen)
    assert float(one @ two) == pytest.approx(np.corrcoef(middles)[0, 1], abs=1e-5)


def test_a_face_without_contrast_has_no_signature_and_is_like_nothing():
    flat = np.full((1, 40, 40), 90, np.uint8)
    assert not signatures(flat).any()
    glance = Glance(flat[0], signatures(flat)[0])
    assert not glance.is_like(glance, 0.1)


def test_there_is_a_glance_with_its_signature_for_each_face():
    picture = paint([PaintedFace(person(1), x=48, y=48), PaintedFace(person(2), x=140, y=140)])
    faces = faces_at((50, 50, 64), (142, 142, 64))
    one, two = glances_of(picture, faces)
    np.testing.assert_array_equal(np.stack([one.picture, two.picture]), glances(picture, faces))
    np.testing.assert_array_equal(np.stack([one.signature, two.signature]), signatures(glances(picture, faces)))
    assert glances_of(picture, Faces.none()) == ()


def test_a_face_is_like_itself():
    assert likeness(glance(person(3)), glance(person(3))) == pytest.approx(1, abs=1e-4)


def test_a_face_that_moved_or_grew_is_still_like_itself():
    before = glance(somebody(1))
    for change in ({"x": 118, "y": 82}, {"side": 72}, {"side": 56}):
        assert likeness(before, glance(somebody(1), **change)) > 0.9


@pytest.mark.parametrize(("gain", "bias"), [(0.5, 0), (1.3, 10), (0.7, 60), (0.2, 5)])
def test_light_changes_nothing(gain, bias):
    before = glance(somebody(1))
    assert likeness(before, (before * gain + bias).astype(np.uint8)) > 0.99


def test_other_people_in_the_same_place_are_less_alike_than_one_person_in_two_places():
    same = [likeness(glance(somebody(i)), glance(somebody(i), x=106, side=68)) for i in range(20)]
    other = [likeness(glance(somebody(i)), glance(somebody(i + 1))) for i in range(20)]
    assert max(other) < min(same)


@pytest.mark.parametrize("shift", [-6, -2, 0, 3, 6])
def test_landmarks_that_tremble_within_the_slack_change_nothing(shift):
    noise = np.random.default_rng(2).integers(0, 256, (40, 40), np.uint8)
    assert likeness(noise, np.roll(noise, shift, 1)) == pytest.approx(1, abs=1e-4)


def test_a_face_in_negative_is_not_alike():
    noise = np.random.default_rng(2).integers(0, 256, (40, 40), np.uint8)
    assert likeness(noise, 255 - noise) < 0.2


def test_a_face_without_contrast_is_like_nothing():
    flat = np.full((40, 40), 90, np.uint8)
    assert likeness(flat, flat) == 0
    assert likeness(flat, glance(person(3))) == 0


def test_a_glance_turns_a_tilted_face_upright():
    picture = paint([PaintedFace(somebody(4), x=96, y=96, side=64)])
    upright = faces_at((98, 98, 64))
    turn = cv2.getRotationMatrix2D((98.0, 98.0), 20, 1.0)
    tilted = cv2.warpAffine(picture, turn, picture.shape[1::-1])
    points = upright.landmarks[0] @ turn[:, :2].T + turn[:, 2]
    seen = glances(tilted, Faces(upright.boxes, points[None].astype(np.float32), upright.scores))
    assert likeness(glances(picture, upright)[0], seen[0]) > 0.9


def test_there_is_a_glance_for_each_face_and_none_for_none():
    picture = paint([PaintedFace(person(1), x=48, y=48), PaintedFace(person(2), x=140, y=140)])
    both = glances(picture, faces_at((50, 50, 64), (142, 142, 64)))
    assert (both.shape, both.dtype) == ((2, 40, 40), np.uint8)
    np.testing.assert_array_equal(both[1], glances(picture, faces_at((142, 142, 64)))[0])
    assert glances(picture, Faces.none()).shape == (0, 40, 40)
