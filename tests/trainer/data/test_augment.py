from __future__ import annotations

from dataclasses import fields, replace

import cv2
import numpy as np
import pytest

from trainer.data.augment import (
    LIMITS,
    Augmentation,
    augment,
    blur,
    jpeg,
    light,
    low_resolution,
    mirror,
    move,
    noise,
    occlude,
)


@pytest.fixture
def image():
    """A smooth picture with some texture, higher than wide."""
    drawn = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)
    return cv2.resize(drawn, (60, 80), interpolation=cv2.INTER_CUBIC)


def detail(picture):
    return float(cv2.Laplacian(picture, cv2.CV_64F).std())


def test_mirroring_twice_gives_the_picture_back(image):
    assert not np.array_equal(mirror(image), image)
    assert np.array_equal(mirror(mirror(image)), image)


def test_moving_by_nothing_changes_nothing(image):
    assert np.array_equal(move(image, degrees=0, scale=1, shift=(0, 0)), image)


def test_half_a_turn_is_the_picture_upside_down(image):
    turned = move(image, degrees=180, scale=1, shift=(0, 0))
    assert np.abs(turned.astype(int) - image[::-1, ::-1]).max() <= 1


def test_a_shift_is_to_the_right_and_down(image):
    moved = move(image, degrees=0, scale=1, shift=(0.1, 0.05))
    assert np.array_equal(moved[4:, 6:], image[:-4, :-6])


def test_light_follows_its_formula_and_clips(image):
    ours = light(image, gain=1.2, offset=10, gamma=0.8)
    want = np.clip(255 * (image / 255.0) ** 0.8 * 1.2 + 10, 0, 255)
    assert np.abs(ours - want).max() <= 0.5 + 1e-9
    assert light(image, gain=9, offset=0, gamma=1).max() == 255
    assert np.array_equal(light(image, gain=1, offset=0, gamma=1), image)


def test_low_resolution_loses_detail_and_not_brightness():
    grain = np.random.default_rng(0).integers(0, 256, (80, 60, 3), dtype=np.uint8)
    low = low_resolution(grain, 16)
    assert detail(low) < 0.1 * detail(grain)
    assert abs(low.mean() - grain.mean()) < 3


def test_a_resolution_that_the_picture_does_not_have_changes_nothing(image):
    assert np.array_equal(low_resolution(image, 80), image)


def test_more_blur_leaves_less_detail(image):
    assert detail(image) > detail(blur(image, 0.7)) > detail(blur(image, 2))


def test_noise_has_the_strength_asked_for():
    grey = np.full((100, 100, 3), 128, np.uint8)
    noisy = noise(grey, 6, np.random.default_rng(0))
    assert noisy.std() == pytest.approx(6, rel=0.05)
    assert noisy.mean() == pytest.approx(128, abs=0.2)


def test_occlusion_fills_its_box_and_nothing_else(image):
    covered = occlude(image, (5, 10, 25, 40), 7)
    assert (covered[10:40, 5:25] == 7).all()
    outside = np.ones(image.shape[:2], bool)
    outside[10:40, 5:25] = False
    assert np.array_equal(covered[outside], image[outside])


def test_a_lower_jpeg_quality_is_a_larger_error(image):
    errors = [np.abs(jpeg(image, quality).astype(int) - image).mean() for quality in (95, 50, 10)]
    assert errors == sorted(errors)
    assert errors[0] < errors[2]


def test_no_augmentation_changes_nothing(image):
    for seed in range(5):
        same = augment(image, Augmentation.none(), np.random.default_rng(seed))
        assert np.array_equal(same, image)


EFFECTS = ["mirror", "move", "light", "low_resolution", "blur", "noise", "occlude", "jpeg"]


@pytest.mark.parametrize("effect", EFFECTS)
def test_every_effect_happens_when_its_chance_is_one_and_keeps_the_crop_a_crop(image, effect):
    how = replace(Augmentation.none(), **{effect: 1.0})
    before = image.copy()
    changed = augment(image, how, np.random.default_rng(1))
    assert changed.shape == image.shape
    assert changed.dtype == np.uint8
    assert not np.array_equal(changed, image)
    assert np.array_equal(image, before)


def test_none_switches_every_effect_off():
    assert all(getattr(Augmentation.none(), effect) == 0 for effect in EFFECTS)
    assert set(EFFECTS) <= {field.name for field in fields(Augmentation)}


@pytest.mark.parametrize(
    "wrong",
    [
        *({effect: chance} for effect, chance in zip(EFFECTS, [-0.1, 1.5, float("nan")] * 3, strict=False)),
        {"degrees": -1.0},
        {"scale": (0.0, 1.0)},
        {"shift": float("inf")},
        {"gain": (1.3, 0.6)},
        {"offset": -1.0},
        {"gamma": (0.0, 1.0)},
        {"side": (80, 28)},
        {"side": (0, 28)},
        {"blur_sigma": (0.0, 1.0)},
        {"noise_sigma": (-1.0, 1.0)},
        {"occlude_share": (0.5, 1.5)},
        {"jpeg_quality": (0, 90)},
    ],
)
def test_what_is_no_chance_or_range_is_refused_with_its_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Augmentation(**wrong)


@pytest.mark.parametrize("end", [0, 1])
def test_the_extremes_that_are_allowed_make_crops_too(image, end):
    single = ("degrees", "shift", "offset")
    strengths = {name: limits[end] if name in single else (limits[end],) * 2 for name, limits in LIMITS.items()}
    changed = augment(image, Augmentation(**dict.fromkeys(EFFECTS, 1.0), **strengths), np.random.default_rng(0))
    assert (changed.shape, changed.dtype) == (image.shape, np.uint8)


def test_the_same_generator_state_gives_the_same_picture(image):
    first, second, other = (augment(image, Augmentation(), np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_augmented_crops_remain_crops_whatever_the_draw(image):
    always = replace(Augmentation(), **dict.fromkeys(EFFECTS, 1.0))
    for seed in range(50):
        changed = augment(image, always, np.random.default_rng(seed))
        assert changed.shape == image.shape
        assert changed.std() > 1
