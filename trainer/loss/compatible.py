"""Embeddings that can be compared with an older model's (the paper's harmonic embeddings, section 8).

The older model's embeddings of the same faces, the targets, are fixed points on the sphere. Two terms draw the new
network to them: its embedding of a face should lie where the older model has it, and triplets whose anchor is the new
network's, and whose positive and negative are the older model's, keep a person's faces together across the two.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.loss.distance import squared_l2
from trainer.loss.mining import Mining, mine
from trainer.loss.triplet import triplet_loss


@dataclass(frozen=True, slots=True)
class Compatibility:
    """What a network is made compatible with, and how strongly.

    Attributes:
        model: NAME/VERSION of the older model.
        sha256: of its weights.
        regression: weight of the mean squared L2 distance to the targets.
        mixed: weight of the triplets across the two models.
    """

    model: str
    sha256: str
    regression: float = 4.0
    mixed: float = 1.0

    def __post_init__(self) -> None:
        if self.regression < 0 or self.mixed < 0 or not self.regression + self.mixed > 0:
            raise ValueError(f"regression and mixed must not be below 0, nor both be 0: {self}")


@dataclass(frozen=True, slots=True)
class CompatibleLoss:
    """What the two terms say about a batch.

    Attributes:
        value: scalar, their weighted sum.
        regression: mean squared L2 distance to the targets, unweighted.
    """

    value: Tensor
    regression: float


@dataclass(frozen=True, slots=True)
class TripletRule:
    """How the triplets across the models are chosen and weighed.

    Attributes:
        mining: which are looked at.
        margin: squared L2.
        generator: on the CPU, for what chance decides.
    """

    mining: Mining
    margin: float
    generator: torch.Generator


def compatible_loss(
    embeddings: Tensor, targets: Tensor, labels: Tensor, *, how: Compatibility, rule: TripletRule
) -> CompatibleLoss:
    """The weighted sum of the regression to the targets and of the triplets across the models.

    Args:
        embeddings: (N, D) of the new network.
        targets: (N, D) of the older model for the same faces.
        labels: (N,) int64.
        how: the weights.
        rule: of the triplets.
    """
    regression = (embeddings - targets).square().sum(dim=1).mean()
    across = squared_l2(embeddings, targets)
    mined = mine(rule.mining, across.detach(), labels, margin=rule.margin, generator=rule.generator)
    mixed = triplet_loss(across, mined.triplets, rule.margin).value
    return CompatibleLoss(how.regression * regression + how.mixed * mixed, regression.item())
