"""Each factor of quality falls when the picture gets worse, and pose is read from landmarks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain import Faces
from server.vision.quality import _FACE_MODEL, QualityScale, assess, at_a_glance, poses, remembering


def projected(yaw=0.0, pitch=0.0, roll=0.0, scale=60.0):
    """The average face, turned and seen from far away: (5, 2) float32 pixels."""
    y, p, r = np.radians([yaw, pitch, roll])
    around_y = np.asarray([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    around_x = np.asarray([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    around_z = np.asarray([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    points = _FACE_MODEL @ (around_z @ around_y @ around_x).T
    return (points[:, :2] * scale + [100, 120]).astype(np.float32)


@pytest.mark.parametrize("angle", [-60, -30, 0, 30, 60])
def test_yaw_pitch_and_roll_of_the_average_face_are_found(angle):
    assert poses(projected(yaw=angle)[None])[0] == pytest.approx((angle, 0, 0), abs=0.1)
    assert poses(projected(pitch=angle)[None])[0] == pytest.approx((0, angle, 0), abs=0.1)
    assert poses(projected(roll=angle)[None])[0] == pytest.approx((0, 0, angle), abs=0.1)


def test_a_nose_to_the_picture_s_right_is_a_positive_yaw_and_one_further_down_a_positive_pitch():
    landmarks = projected()
    right, down = landmarks.copy(), landmarks.copy()
    right[2, 0] += 10
    down[2, 1] += 10
    assert poses(right[None])[0][0] > 5
    assert poses(down[None])[0][1] > 5


def test_landmarks_on_one_spot_count_as_turned_away():
    assert poses(np.full((1, 5, 2), 7, np.float32))[0][0] == 90


def quality_of(crop, *, side=100.0, score=0.9, landmarks=None):
    box = np.asarray([[0, 0, side, side * 1.3]], np.float32)
    points = (projected() if landmarks is None else landmarks)[None]
    faces = Faces(box, points, np.asarray([score], np.float32))
    return assess(faces, crop[None], QualityScale())[0]


def sharp_crop():
    noise = np.random.default_rng(0).integers(60, 190, (112, 112, 3), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 0.6)


def test_a_good_face_scores_one():
    assert quality_of(sharp_crop()).score == 1


def test_blur_lowers_sharpness_and_the_score():
    qualities = [quality_of(cv2.GaussianBlur(sharp_crop(), (0, 0), sigma)) for sigma in (0.5, 2, 5)]
    assert qualities[0].sharpness > qualities[1].sharpness > qualities[2].sharpness
    assert qualities[0].score > qualities[2].score


@pytest.mark.parametrize("worse", [{"side": 20.0}, {"score": 0.35}, {"landmarks": projected(yaw=70)}])
def test_a_small_uncertain_or_turned_face_scores_low(worse):
    assert quality_of(sharp_crop(), **worse).score < 0.2


@pytest.mark.parametrize("level", [5, 252])
def test_a_face_in_the_dark_or_in_glaring_light_scores_nothing(level):
    assert quality_of(np.full((112, 112, 3), level, np.uint8)).score == 0


def test_size_is_the_shorter_side_of_the_box():
    assert quality_of(sharp_crop(), side=55).size_px == pytest.approx(55)


# ---- at a glance


@given(
    st.floats(5, 300),
    st.floats(0, 1, width=32),
    st.floats(-80, 80),
    st.floats(0, 6),
    st.integers(0, 120),
)
@settings(max_examples=60)
def test_with_the_light_and_sharpness_of_its_crop_a_glance_says_what_a_close_look_says(side, score, yaw, blur, light):
    crop = cv2.GaussianBlur(np.clip(sharp_crop().astype(int) + light - 60, 0, 255).astype(np.uint8), (0, 0), 0.3 + blur)
    box = np.asarray([[0, 0, side, side * 1.3]], np.float32)
    faces = Faces(box, projected(yaw=yaw)[None], np.asarray([score], np.float32))
    (close,) = assess(faces, crop[None], QualityScale())
    assert followed(faces, [close]) == [close]


def followed(faces, looks):
    """The faces at a glance, each with what its earlier look showed."""
    scale = QualityScale()
    return [remembering(glance, look, scale) for glance, look in zip(at_a_glance(faces, scale), looks, strict=True)]


def test_before_any_look_light_and_sharpness_lower_no_score():
    box = np.asarray([[0, 0, 48, 60]], np.float32)
    faces = Faces(box, projected()[None], np.ones(1, np.float32))
    (glance,) = at_a_glance(faces, QualityScale())
    (best,) = assess(faces, sharp_crop()[None], QualityScale())
    assert glance.score == best.score == pytest.approx((48 - 16) / (80 - 16))
    assert (glance.sharpness, glance.brightness) == (None, None)


def test_a_glance_at_a_face_that_turned_and_shrank_since_its_look_scores_lower():
    near = Faces(np.asarray([[0, 0, 90, 90]], np.float32), projected()[None], np.ones(1, np.float32))
    (look,) = assess(near, sharp_crop()[None], QualityScale())
    far = Faces(np.asarray([[0, 0, 40, 40]], np.float32), projected(yaw=50)[None], np.ones(1, np.float32))
    (glance,) = followed(far, [look])
    assert glance.score < look.score
    assert (glance.sharpness, glance.brightness) == (look.sharpness, look.brightness)


def test_each_face_is_judged_by_its_own_earlier_look():
    boxes = np.asarray([[0, 0, 90, 90]] * 2, np.float32)
    faces = Faces(boxes, np.stack([projected()] * 2), np.ones(2, np.float32))
    crops = np.stack([sharp_crop(), cv2.GaussianBlur(sharp_crop(), (0, 0), 5)])
    close = assess(faces, crops, QualityScale())
    assert followed(faces, close) == close
    assert followed(faces, close[::-1]) == close[::-1]
    assert at_a_glance(Faces.none(), QualityScale()) == []
