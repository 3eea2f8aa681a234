from __future__ import annotations

import pytest
import torch

from trainer.loss.distance import squared_l2


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-14)])
def test_distances_agree_with_a_naive_double_loop(dtype, tolerance):
    left = torch.nn.functional.normalize(torch.randn(7, 16, dtype=dtype), dim=1)
    right = torch.nn.functional.normalize(torch.randn(5, 16, dtype=dtype), dim=1)
    ours = squared_l2(left, right)
    for i in range(7):
        for j in range(5):
            naive = sum((a - b) ** 2 for a, b in zip(left[i].tolist(), right[j].tolist(), strict=True))
            assert abs(float(ours[i, j]) - naive) < tolerance


def test_no_distance_is_negative_even_between_copies():
    points = torch.nn.functional.normalize(torch.randn(200, 64), dim=1)
    assert squared_l2(points, points).min() >= 0


def test_the_gradient_is_twice_the_difference():
    left = torch.randn(1, 8, dtype=torch.float64, requires_grad=True)
    right = torch.randn(1, 8, dtype=torch.float64)
    squared_l2(left, right).sum().backward()
    torch.testing.assert_close(left.grad, 2 * (left.detach() - right))
