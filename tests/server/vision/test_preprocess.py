"""Tensors hold exactly what the manifest asks for, and letterboxes map back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain import ColourOrder, Faces, PixelSpec
from server.vision.preprocess import fit, letterbox_for, to_tensor


@pytest.mark.parametrize("colour", list(ColourOrder))
@pytest.mark.parametrize("std", [(1.0, 1.0, 1.0), (256.0, 256.0, 256.0), (58.0, 57.0, 57.5)])
def test_a_tensor_is_value_minus_mean_over_std_in_the_asked_order(colour, std):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (3, 8, 6, 3), np.uint8)
    mean = (122.782, 117.001, 104.298)
    ordered = images[..., ::-1] if colour is ColourOrder.RGB else images
    expected = ((ordered - np.asarray(mean)) / np.asarray(std)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(to_tensor(images, PixelSpec(colour, mean, std)), expected, atol=1e-4)


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(64, 1280), st.sampled_from([1, 8, 32]))
def test_a_letterbox_holds_the_image_wastes_less_than_one_step_and_never_enlarges(width, height, longest, multiple):
    box = letterbox_for(np.zeros((height, width, 3), np.uint8), longest_side=longest, multiple=multiple)
    assert box.scale <= 1
    for side, padded in ((width, box.width), (height, box.height)):
        assert padded % multiple == 0
        shrunk = max(1, round(side * box.scale))
        assert shrunk <= padded < shrunk + multiple
    assert max(box.width, box.height) < longest + multiple


def test_a_small_image_lies_in_the_top_left_on_black():
    image = np.full((50, 70, 3), 200, np.uint8)
    canvas = fit(image, letterbox_for(image, longest_side=640, multiple=32))
    assert canvas.shape == (64, 96, 3)
    np.testing.assert_array_equal(canvas[:50, :70], image)
    assert canvas[50:].max() == 0
    assert canvas[:, 70:].max() == 0


def test_a_point_of_the_image_is_found_where_the_letterbox_says():
    image = np.zeros((720, 1280, 3), np.uint8)
    image[300:320, 800:840] = 255
    box = letterbox_for(image, longest_side=640, multiple=32)
    rows, columns = np.nonzero(fit(image, box)[..., 0] > 127)
    corners = np.asarray([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    found = box.to_image(Faces(corners, np.zeros((1, 5, 2), np.float32), np.ones(1, np.float32)))
    np.testing.assert_allclose(found.boxes, [[800, 300, 840, 320]], atol=2)
