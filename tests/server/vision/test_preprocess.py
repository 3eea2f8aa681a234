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


def averaged(image, factor):
    """Every block of factor x factor pixels as its mean."""
    height, width = image.shape[0] // factor, image.shape[1] // factor
    return image.reshape(height, factor, width, factor, 3).mean(axis=(1, 3))


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_an_image_that_is_shrunk_by_a_power_of_two_is_averaged_over_every_pixel(factor):
    image = np.random.default_rng(3).integers(0, 256, (96, 192, 3), np.uint8)
    box = letterbox_for(image, longest_side=192 // factor, multiple=1)
    np.testing.assert_allclose(fit(image, box).astype(int), averaged(image, factor), atol=2)


def bilinear(image, width, height):
    """Each pixel mixed from the four around its place."""

    def mix(rows, count):
        places = np.clip((np.arange(count) + 0.5) * len(rows) / count - 0.5, 0, len(rows) - 1)
        low = np.floor(places).astype(int)
        high = np.minimum(low + 1, len(rows) - 1)
        share = (places - low)[:, None, None]
        return rows[low] * (1 - share) + rows[high] * share

    return mix(mix(image.astype(np.float64), height).transpose(1, 0, 2), width).transpose(1, 0, 2)


@pytest.mark.parametrize("longest", [191, 160, 120, 97, 96])
def test_down_to_a_half_an_image_is_sampled_bilinearly(longest):
    image = np.random.default_rng(3).integers(0, 256, (96, 192, 3), np.uint8)
    box = letterbox_for(image, longest_side=longest, multiple=1)
    np.testing.assert_allclose(fit(image, box).astype(int), bilinear(image, box.width, box.height), atol=2)


@given(st.integers(30, 400))
def test_stripes_too_fine_for_the_small_image_turn_grey_and_not_into_broader_stripes(longest):
    image = np.zeros((100, 800, 3), np.uint8)
    image[::2] = 255
    shrunk = fit(image, letterbox_for(image, longest_side=longest, multiple=1))
    assert np.abs(shrunk.astype(int) - 127).max() <= 2


def test_an_image_that_fits_is_not_touched():
    image = np.random.default_rng(3).integers(0, 256, (64, 96, 3), np.uint8)
    np.testing.assert_array_equal(fit(image, letterbox_for(image, longest_side=96, multiple=32)), image)
