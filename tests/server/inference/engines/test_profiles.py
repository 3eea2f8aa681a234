from __future__ import annotations

import itertools

import pytest

from server.domain import ColourOrder
from server.inference.engines.profiles import ShapeProfile, Workload, frame_sizes, profiles_for
from server.inference.parts import Input, Pixels
from server.vision.preprocess import letterbox_for

PIXELS = Pixels(colour=ColourOrder.RGB)
FIXED = Input(tensor="x", width=112, height=96, pixels=PIXELS)
ANY = Input(tensor="x", width=None, height=None, size_multiple=32, pixels=PIXELS)


def test_a_network_of_one_size_gets_single_crops_and_batches():
    single, batches = profiles_for(FIXED, Workload(crops=8, max_crops=48))
    assert single == ShapeProfile((1, 3, 96, 112), (1, 3, 96, 112), (1, 3, 96, 112))
    assert batches == ShapeProfile((1, 3, 96, 112), (8, 3, 96, 112), (48, 3, 96, 112))


@pytest.mark.parametrize("side", [320, 640, 650, 1280])
@pytest.mark.parametrize(("width", "height"), [(1280, 720), (720, 1280), (640, 480), (1000, 1000)])
def test_the_usual_cameras_frames_have_profiles_of_their_own_after_letterboxing(side, width, height):
    import numpy as np

    image = np.zeros((height * 2, width * 2, 3), np.uint8)
    box = letterbox_for(image, longest_side=side, multiple=32)
    shapes = [one.typical[2:] for one in profiles_for(ANY, Workload(frame_side=side))[1:-1]]
    assert (box.height, box.width) in shapes
    assert frame_sizes(Workload(frame_side=side), 32) == tuple(shapes)


@pytest.mark.parametrize("multiple", [4, 32])
def test_every_batch_that_a_detector_may_get_fits_a_profile(multiple):
    wanted = ANY.model_copy(update={"size_multiple": multiple})
    profiles = profiles_for(wanted, Workload(max_crops=64, max_frames=3, frame_side=160))
    sides = range(multiple, 161, multiple)
    for count, height, width in itertools.product((1, 2, 3), sides, sides):
        assert any(one.takes((count, 3, height, width)) for one in profiles), (count, height, width)
    assert any(one.takes((64, 3, 128, 128)) for one in profiles)


@pytest.mark.parametrize(
    "shape", [(0, 3, 96, 112), (49, 3, 96, 112), (1, 3, 95, 112), (1, 3, 96, 113), (1, 4, 96, 112)]
)
def test_a_profile_takes_nothing_outside(shape):
    assert not profiles_for(FIXED, Workload(max_crops=48))[1].takes(shape)


def test_a_typical_batch_is_never_longer_than_the_largest():
    for wanted in (FIXED, ANY):
        for profile in profiles_for(wanted, Workload(max_crops=3, max_frames=2)):
            shapes = (profile.smallest, profile.typical, profile.largest)
            assert all(
                low <= high for one, two in itertools.pairwise(shapes) for low, high in zip(one, two, strict=True)
            )
