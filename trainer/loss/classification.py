"""A warm start: telling the people of the training set apart, before the triplet loss takes over.

The classifier is thrown away in the end. Its weights are directions on the sphere on which the embeddings lie, so that
what it learns is already an embedding (Wang et al. 2017, "NormFace").
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class WarmStart:
    """The first steps of a run, with softmax instead of triplets.

    Attributes:
        steps: how many; 0 for none.
        scale: cosines are multiplied by it before the softmax, which could not become sure of anything otherwise.
    """

    steps: int = 0
    scale: float = 16.0

    def __post_init__(self) -> None:
        if self.steps < 0 or not self.scale > 0:
            raise ValueError(f"a warm start's steps must not be below 0, and its scale be above 0: {self}")


@dataclass(frozen=True, slots=True)
class ClassificationLoss:
    """What the classifier says about a batch.

    Attributes:
        value: scalar, mean cross entropy in nats.
        mistaken: faces that it takes for somebody else.
    """

    value: Tensor
    mistaken: int


def make_classifier(dimension: int, people: int) -> nn.Linear:
    """A direction for each person, drawn at random from torch's global generator."""
    classifier = nn.Linear(dimension, people, bias=False)
    nn.init.normal_(classifier.weight)
    return classifier


def classification_loss(embeddings: Tensor, labels: Tensor, classifier: nn.Linear, scale: float) -> ClassificationLoss:
    """Cross entropy of the scaled cosines between (N, D) embeddings and everybody's direction; labels are (N,)."""
    cosines = embeddings @ functional.normalize(classifier.weight, dim=1).T
    mistaken = int((cosines.detach().argmax(dim=1) != labels).sum())
    return ClassificationLoss(torch.nn.functional.cross_entropy(scale * cosines, labels), mistaken)
