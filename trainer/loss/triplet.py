"""The triplet loss (Schroff et al. 2015, equation 2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MARGIN = 0.2
"""The paper's margin alpha."""


@dataclass(frozen=True, slots=True)
class Triplets:
    """Indices into a batch, as a struct of arrays.

    Attributes:
        anchors: (T,) int64.
        positives: (T,) int64; another face of the anchor's person.
        negatives: (T,) int64; a face of another person.
    """

    anchors: Tensor
    positives: Tensor
    negatives: Tensor

    def __post_init__(self) -> None:
        shapes = {tuple(part.shape) for part in (self.anchors, self.positives, self.negatives)}
        if len(shapes) != 1 or self.anchors.dim() != 1:
            raise ValueError(f"anchors, positives and negatives of shapes {shapes} don't agree")

    def __len__(self) -> int:
        return len(self.anchors)


@dataclass(frozen=True, slots=True)
class TripletLoss:
    """What the loss says about a batch.

    Attributes:
        value: scalar; the mean of the hinge over the active triplets, 0 without any.
        active: how many triplets violate the margin.
        triplets: how many were looked at.
    """

    value: Tensor
    active: int
    triplets: int


def triplet_loss(distances: Tensor, triplets: Triplets, margin: float = MARGIN) -> TripletLoss:
    """Mean of max(0, d(a, p) - d(a, n) + margin) over the triplets where it is more than 0.

    The paper sums; the mean over the active triplets keeps the learning rate's meaning when their number changes.

    Args:
        distances: (N, N) squared L2 distances of the batch.
        triplets: indices into it.
        margin: squared L2.
    """
    to_positive = distances[triplets.anchors, triplets.positives]
    to_negative = distances[triplets.anchors, triplets.negatives]
    hinge = torch.relu(to_positive - to_negative + margin)
    active = int((hinge > 0).sum())
    return TripletLoss(hinge.sum() / max(active, 1), active, len(triplets))
