from __future__ import annotations

import math

import numpy as np
import pytest

from demo.geometry import Box, similarity


def test_overlap_equals_counting_pixels():
    random = np.random.default_rng(1)
    for _ in range(200):
        sides = random.integers(0, 20, (2, 4))
        boxes = [Box(left, top, width + 1, height + 1) for left, top, width, height in sides.tolist()]
        masks = []
        for box in boxes:
            mask = np.zeros((45, 45), bool)
            mask[int(box.top) : int(box.top + box.height), int(box.left) : int(box.left + box.width)] = True
            masks.append(mask)
        expected = (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
        assert boxes[0].overlap(boxes[1]) == pytest.approx(expected)


def test_a_similarity_brings_the_pivot_to_the_target_and_keeps_lengths_in_proportion():
    affine = similarity((10, 20), (300, 200), scale=1.5, clockwise_deg=30)
    assert affine @ [10, 20, 1] == pytest.approx([300, 200])
    assert np.linalg.norm(affine @ [13, 24, 1] - affine @ [10, 20, 1]) == pytest.approx(1.5 * 5)


def test_a_clockwise_turn_moves_what_is_right_of_the_pivot_down():
    x, y = similarity((0, 0), (0, 0), scale=1, clockwise_deg=10) @ [1, 0, 1]
    assert (x, y) == pytest.approx((math.cos(math.radians(10)), math.sin(math.radians(10))))
