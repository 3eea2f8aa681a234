"""The one metric: squared L2."""

from __future__ import annotations

import torch
from torch import Tensor


def squared_l2(left: Tensor, right: Tensor) -> Tensor:
    """Squared L2 distances of all pairs: (N, D), (M, D) -> (N, M), 0 or more.

    Computed through one matrix product, so that memory is O(N * M) and not O(N * M * D). The difference of large
    numbers costs about 1e-6 of absolute precision for vectors of length 1.
    """
    squares = left.square().sum(dim=1)[:, None] + right.square().sum(dim=1)[None, :]
    return torch.addmm(squares, left, right.T, alpha=-2).clamp(min=0)
