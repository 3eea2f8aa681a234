"""Which triplets of a batch the loss looks at: pure functions from distances and labels to indices.

All take (N, N) squared L2 distances and (N,) int64 labels, need memory O(N^2), and leave out a pair without
a fitting negative. Faces of people who occur once are negatives only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from trainer.loss.triplet import MARGIN, Triplets


class Mining(Enum):
    """How triplets are chosen.

    SEMI_HARD is the paper's choice. HARDEST learns from the most extreme faces of each batch, which mislabelled and
    poor photographs dominate, and may collapse early. RANDOM is a baseline: most of its triplets are soon inactive.
    """

    SEMI_HARD = "semi-hard"
    HARDEST = "hardest"
    RANDOM = "random"


class Negative(Enum):
    """Which of the semi-hard negatives of a pair is taken."""

    RANDOM = "random"
    NEAREST = "nearest"


@dataclass(frozen=True, slots=True)
class Mined:
    """What mining found.

    Attributes:
        triplets: indices into the batch.
        considered: how many anchor-positive pairs (for HARDEST: anchors) it looked at; what it left out has no triplet.
    """

    triplets: Triplets
    considered: int


def mine(mining: Mining, distances: Tensor, labels: Tensor, *, margin: float, generator: torch.Generator) -> Mined:
    """The triplets that a kind of mining chooses; the generator (on the CPU) decides where chance does."""
    with torch.no_grad():
        positives = (labels[:, None] == labels[None, :]).sum(dim=1) - 1
        pairs = int(positives.sum())
        match mining:
            case Mining.SEMI_HARD:
                return Mined(semi_hard(distances, labels, margin=margin, generator=generator), pairs)
            case Mining.HARDEST:
                return Mined(hardest(distances, labels), int((positives > 0).sum()))
            case Mining.RANDOM:
                return Mined(random(labels, generator), pairs)


def anchor_positive_pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """All ordered pairs (anchor, positive) of different faces with the same label, by anchor, then positive."""
    same = labels[:, None] == labels[None, :]
    same.fill_diagonal_(False)
    anchors, positives = same.nonzero(as_tuple=True)
    return anchors, positives


def semi_hard(
    distances: Tensor,
    labels: Tensor,
    *,
    margin: float = MARGIN,
    generator: torch.Generator,
    negative: Negative = Negative.RANDOM,
) -> Triplets:
    """Every anchor-positive pair with one negative for which d(a, p) < d(a, n) < d(a, p) + margin.

    O(N^2 log N): each anchor's negatives are sorted once, and the semi-hard ones of a pair are then a contiguous run.
    """
    anchors, positives = anchor_positive_pairs(labels)
    others = labels[:, None] != labels[None, :]
    ranked, order = distances.masked_fill(~others, torch.inf).sort(dim=1)
    to_positive = distances[anchors, positives]
    nearest = _places(ranked, anchors, to_positive, right=True)
    beyond = _places(ranked, anchors, to_positive + margin, right=False)
    count = beyond - nearest
    found = count > 0
    anchors, positives, nearest = anchors[found], positives[found], nearest[found]
    place = nearest
    if negative is Negative.RANDOM:
        place = nearest + _choices(count[found], generator)
    return Triplets(anchors, positives, order[anchors, place])


def hardest(distances: Tensor, labels: Tensor) -> Triplets:
    """For each anchor its farthest positive and its nearest negative of the batch."""
    same = labels[:, None] == labels[None, :]
    other = ~same
    same.fill_diagonal_(False)
    anchors = (same.any(dim=1) & other.any(dim=1)).nonzero()[:, 0]
    if not len(anchors):
        return Triplets(anchors, anchors, anchors)
    far = distances.masked_fill(~same, -torch.inf).argmax(dim=1)
    near = distances.masked_fill(~other, torch.inf).argmin(dim=1)
    return Triplets(anchors, far[anchors], near[anchors])


def random(labels: Tensor, generator: torch.Generator) -> Triplets:
    """Every anchor-positive pair with a negative drawn uniformly."""
    anchors, positives = anchor_positive_pairs(labels)
    other = labels[:, None] != labels[None, :]
    counts = other.sum(dim=1)
    starts = counts.cumsum(dim=0) - counts
    candidates = other.nonzero()[:, 1]
    found = counts[anchors] > 0
    anchors, positives = anchors[found], positives[found]
    place = starts[anchors] + _choices(counts[anchors], generator)
    return Triplets(anchors, positives, candidates[place])


def _places(ranked: Tensor, rows: Tensor, values: Tensor, *, right: bool) -> Tensor:
    """Where each value would stand in its row of a matrix with sorted rows; `rows` ascend."""
    counts = torch.bincount(rows, minlength=len(ranked))
    column = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
    width = int(counts.max()) if len(rows) else 0
    padded = values.new_zeros(len(ranked), width)
    padded[rows, column] = values
    return torch.searchsorted(ranked, padded, right=right)[rows, column]


def _choices(counts: Tensor, generator: torch.Generator) -> Tensor:
    """For each count n an integer drawn uniformly from 0..n-1."""
    drawn = torch.rand(len(counts), generator=generator, dtype=torch.float64)
    return (drawn.to(counts.device) * counts).long()
