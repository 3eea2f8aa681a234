from __future__ import annotations

import cv2
import numpy as np

from demo.cutout import cut_out
from demo.geometry import Box

FACE = Box(160, 100, 80, 110)


def portrait() -> np.ndarray:
    """A drawn person before a plain wall: a face with hair, and a dark jacket that reaches the lower edge."""
    image = np.full((400, 400, 3), (190, 200, 180), np.uint8)
    cv2.ellipse(image, (200, 380), (120, 140), 0, 0, 360, (60, 40, 30), -1)
    cv2.ellipse(image, (200, 150), (54, 76), 0, 0, 360, (20, 30, 40), -1)
    cv2.ellipse(image, (200, 160), (42, 56), 0, 0, 360, (120, 150, 210), -1)
    noise = np.random.default_rng(3).normal(0, 4, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def test_the_matte_holds_the_person_and_leaves_the_wall_out():
    figure = cut_out(portrait(), FACE)
    x, y = (round(value) for value in figure.face.centre)
    unit = figure.face.height
    assert figure.matte[y, x] > 0.99
    assert figure.matte[round(y + 1.4 * unit), x] > 0.99
    assert figure.matte[round(y - 1.2 * unit), x] < 0.01
    assert figure.matte[y, round(x - 0.9 * unit)] < 0.01
    assert figure.matte[y, round(x + 0.9 * unit)] < 0.01


def test_the_figure_reaches_below_the_photographs_edge():
    figure = cut_out(portrait(), FACE)
    assert figure.matte.shape == figure.image.shape[:2]
    assert figure.matte.shape[0] >= figure.face.centre[1] + 1.69 * figure.face.height
    assert figure.matte[-1, round(figure.face.centre[0])] > 0.99


def test_the_old_background_does_not_shine_through_the_edge():
    figure = cut_out(portrait(), FACE)
    edge = (figure.matte > 0.2) & (figure.matte < 0.8)
    edge[round(figure.face.centre[1]) :] = False
    assert figure.image[edge].mean() < 120


def test_a_photograph_is_cut_out_the_same_way_every_time():
    first, second = cut_out(portrait(), FACE), cut_out(portrait(), FACE)
    assert np.array_equal(first.matte, second.matte)
    assert np.array_equal(first.image, second.image)
