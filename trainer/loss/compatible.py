"""Embeddings that can be compared with an older model's (the paper's harmonic embeddings, section 8).

The older model's embeddings of the same faces, the targets, are fixed points on the sphere. Three terms draw the new
network to them: its embedding of a face should lie where the older model has it; faces should lie to each other as the
older model has them; and triplets whose anchor is the new network's, and whose positive and negative are the older
model's, keep a person's faces together across the two. Only the last needs to know who is who.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from trainer.loss.distance import squared_l2
from trainer.loss.mining import Mining, mine
from trainer.loss.triplet import triplet_loss


class Shown(Enum):
    """What the older model is shown of a crop.

    ORIGINAL: the crop as it is, once; a network soon knows a few thousand such answers by heart.
    CHANGED: what the network sees, each time anew, so that no question comes twice (Beyer et al. 2022, "Knowledge
        distillation: a good teacher is patient and consistent").
    """

    ORIGINAL = "original"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Compatibility:
    """What a network is made compatible with, and how strongly.

    Attributes:
        model: NAME/VERSION of the older model; "" until one is chosen.
        sha256: of its weights; likewise.
        regression: weight of the mean squared L2 distance to the targets.
        mixed: weight of the triplets across the two models.
        relations: weight of the mean squared difference between the squared L2 distances that the two models see
            between the faces of a batch.
        own: weight of the network's own triplets.
        shown: what the older model sees of a crop.
        uses: steps that learn from each answered batch, every second time from its mirror image; more than 1 only
            where the crops shown are CHANGED.
    """

    model: str = ""
    sha256: str = ""
    regression: float = 4.0
    mixed: float = 1.0
    relations: float = 0.0
    own: float = 1.0
    shown: Shown = Shown.ORIGINAL
    uses: int = 1

    def __post_init__(self) -> None:
        if min(self.regression, self.mixed, self.relations, self.own) < 0 or not self.regression + self.mixed > 0:
            raise ValueError(f"no weight may be below 0, and regression or mixed must be above: {self}")
        if self.uses < 1 or (self.uses > 1 and self.shown is Shown.ORIGINAL):
            raise ValueError(f"uses must be 1 or more, and 1 where the crops are shown as they are: {self}")

    @property
    def needs_labels(self) -> bool:
        """Whether the loss looks at who is who."""
        return self.mixed > 0 or self.own > 0


@dataclass(frozen=True, slots=True)
class CompatibleLoss:
    """What the terms say about a batch.

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
    """The weighted sum of the regression to the targets, of the relations, and of the triplets across the models.

    Args:
        embeddings: (N, D) of the new network.
        targets: (N, D) of the older model for the same faces.
        labels: (N,) int64.
        how: the weights.
        rule: of the triplets.
    """
    regression = (embeddings - targets).square().sum(dim=1).mean()
    value = how.regression * regression
    if how.relations:
        value = value + how.relations * relational_loss(embeddings, targets)
    if how.mixed:
        across = squared_l2(embeddings, targets)
        mined = mine(rule.mining, across.detach(), labels, margin=rule.margin, generator=rule.generator)
        value = value + how.mixed * triplet_loss(across, mined.triplets, rule.margin).value
    return CompatibleLoss(value, regression.item())


def relational_loss(embeddings: Tensor, targets: Tensor) -> Tensor:
    """How differently two models see the faces of a batch lie to each other (Park et al. 2019, section 3.2.1).

    Args:
        embeddings: (N, D) of the new network, N >= 2.
        targets: (N, D') of the older model for the same faces.

    Returns:
        The mean over all pairs of two faces of the squared difference between their squared L2 distances; unlike in the
        paper they are not scaled by their mean, since both models' embeddings lie on the same sphere.
    """
    difference = squared_l2(embeddings, embeddings) - squared_l2(targets, targets)
    count = len(embeddings)
    # a face lies at 0 from itself for both
    return difference.square().sum() / (count * (count - 1))
