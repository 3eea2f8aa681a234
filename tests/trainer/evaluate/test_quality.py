from __future__ import annotations

import cv2
import numpy as np
import pytest

from trainer.evaluate.quality import degradations, degraded


@pytest.fixture
def images():
    coarse = np.random.default_rng(0).integers(0, 256, (3, 30, 24, 3), dtype=np.uint8)
    return np.stack([cv2.resize(image, (96, 120)) for image in coarse])


def test_the_rows_are_those_of_the_papers_table_that_make_the_crop_worse():
    names = [how.name for how in degradations(96, 96)]
    assert names == [*(f"JPEG quality {q}" for q in (10, 20, 30, 50, 70, 90)), "1,600 pixels", "6,400 pixels"]
    assert len(degradations(300, 300)) == 11


def test_the_embedder_sees_the_worse_pictures_in_their_order(images):
    for how in degradations(120, 96):
        seen = []
        degraded(lambda crops, seen=seen: seen.append(crops), how)(images)
        assert seen[0].shape == images.shape
        for worse, image in zip(seen[0], images, strict=True):
            assert np.array_equal(worse, how.apply(image))
            assert not np.array_equal(worse, image)


def test_fewer_pixels_are_further_from_the_original(images):
    errors = {how.name: np.abs(how.apply(images[0]).astype(int) - images[0]).mean() for how in degradations(120, 96)}
    assert errors["1,600 pixels"] > errors["6,400 pixels"] > 0
    assert errors["JPEG quality 10"] > errors["JPEG quality 50"] > errors["JPEG quality 90"]
