from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from demo.learning.drawing import SIDE, draw
from demo.learning.people import invent, pose

PERSON = replace(invent(1), glasses=False, beard=0.0, fringe=0.05)
SHOT = replace(pose(1, 0), yaw=0.0, roll=0.0, pitch=0.0, light=0.0, exposure=1.0, blur=0.0, noise=0.0, size=0.45)


def test_a_photo_is_a_square_of_bytes_and_the_same_every_time():
    picture = draw(PERSON, SHOT)
    assert picture.shape == (SIDE, SIDE, 3)
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, draw(PERSON, SHOT))


def test_light_from_a_side_brightens_that_side():
    left, right = (draw(PERSON, replace(SHOT, light=side)).astype(float) for side in (-1.0, 1.0))
    half = SIDE // 2
    assert left[:, :half].mean() > right[:, :half].mean()
    assert left[:, half:].mean() < right[:, half:].mean()


def test_exposure_brightens_everything():
    assert draw(PERSON, replace(SHOT, exposure=0.7)).mean() < 0.75 * draw(PERSON, SHOT).mean()


@pytest.mark.parametrize("trait", [{"glasses": True}, {"beard": 1.0}, {"long": not PERSON.long}, {"fringe": 0.25}])
def test_a_trait_can_be_seen(trait):
    difference = draw(replace(PERSON, **trait), SHOT).astype(int) - draw(PERSON, SHOT)
    assert np.count_nonzero(np.abs(difference).max(axis=2) > 20) > 50


@pytest.mark.models
def test_the_default_detector_finds_drawn_faces_where_they_are():
    from server.inference.load import Runtime, load_backend
    from tests.server_process import MODELS
    from trainer.data.prepare import detector_of

    manifest, backend = load_backend(MODELS / "yunet" / "2023mar", runtime=Runtime.ONNXRUNTIME, threads=1)
    detect = detector_of(manifest, backend)
    for person in range(12):
        shot = replace(pose(person, 0), yaw=0.0, roll=0.0, pitch=0.0, shift=(0.0, 0.0))
        faces = detect(draw(invent(person), shot))
        assert len(faces) == 1
        # the origin of the drawing is between the eyes
        eyes = faces.landmarks[0, :2].mean(axis=0)
        assert eyes == pytest.approx((0.5 * SIDE, 0.44 * SIDE), abs=0.06 * SIDE)
    backend.close()
