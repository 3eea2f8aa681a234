"""A shot goes on while a camera and people move, through light and noise, and ends with a cut."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from server.vision.shot import shot_after

RNG = np.random.default_rng(3)
PLACES = [
    cv2.resize(RNG.integers(0, 256, (9, 16, 3), np.uint8), (640, 360), interpolation=cv2.INTER_CUBIC) for _ in "ab"
]


def moved(image, dx):
    return np.roll(image, dx, 1)


def with_somebody(image, x):
    shown = image.copy()
    shown[120:260, x : x + 100] = (90, 120, 180)
    return shown


@pytest.mark.parametrize(
    "after",
    [
        PLACES[0],
        moved(PLACES[0], 6),
        with_somebody(PLACES[0], 300),
        cv2.convertScaleAbs(PLACES[0], alpha=0.6, beta=20),
        np.clip(PLACES[0] + RNG.normal(0, 25, PLACES[0].shape), 0, 255).astype(np.uint8),
        cv2.resize(PLACES[0], (1280, 720)),
    ],
    ids=["the same", "a camera that turns", "somebody who comes in", "darker", "noise", "twice as large"],
)
def test_a_shot_goes_on(after):
    assert shot_after(shot_after(None, PLACES[0], 5), after, 9).since_ns == 5


@pytest.mark.parametrize(
    "after", [PLACES[1], 255 - PLACES[0], np.full_like(PLACES[0], 7)], ids=["other", "negative", "grey"]
)
def test_a_shot_ends_with_a_cut(after):
    assert shot_after(shot_after(None, PLACES[0], 5), after, 9).since_ns == 9


def test_a_camera_that_turns_right_round_in_small_steps_is_in_one_shot():
    shot = None
    for step in range(100):
        shot = shot_after(shot, moved(PLACES[0], 6 * step), step)
    assert shot.since_ns == 0


def test_pictures_without_any_contrast_say_nothing_and_each_is_a_shot():
    grey = np.full((360, 640, 3), 90, np.uint8)
    assert shot_after(shot_after(None, grey, 5), grey, 9).since_ns == 9


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (18, 32), (2000, 40)])
def test_pictures_of_any_size_have_a_shot(size):
    image = RNG.integers(0, 256, (*size, 3), np.uint8)
    assert shot_after(None, image, 3).since_ns == 3
