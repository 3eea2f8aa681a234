"""Same person or not: VAL(d), FAR(d) and what follows from them (Schroff et al. 2015, section 4).

Distances are squared L2; a comparison is accepted when its distance is at most the threshold. `same` are the distances
of pairs of one person and `different` those of pairs of two, both (N,) in any order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.errors import DatasetError
from trainer.evaluate.proportion import Proportion, wilson

Distances = NDArray[np.float64]


def pair_distances(embeddings: NDArray[np.float32], left: NDArray[np.intp], right: NDArray[np.intp]) -> Distances:
    """Squared L2 distances (P,) of the pairs of rows of (N, D) embeddings that the indices (P,) name."""
    difference = embeddings[left].astype(np.float64) - embeddings[right]
    squares: Distances = np.einsum("pd,pd->p", difference, difference)
    return squares


def all_pairs(embeddings: NDArray[np.float32], labels: NDArray[np.intp]) -> tuple[Distances, Distances]:
    """Squared L2 distances of all pairs of (N, D) embeddings: those of one person, and those of two.

    Memory is O(N^2).
    """
    points = embeddings.astype(np.float64)
    squares = (points**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * points @ points.T, 0)
    upper = np.triu_indices(len(labels), 1)
    same = labels[upper[0]] == labels[upper[1]]
    found: Distances = distances[upper]
    return found[same], found[~same]


def across_pairs(
    left: NDArray[np.float32], right: NDArray[np.float32], labels: NDArray[np.intp]
) -> tuple[Distances, Distances]:
    """Squared L2 distances between one model's embeddings and another's of other photographs: same, different.

    Args:
        left: (N, D) of one model, the probes.
        right: (N, D) of the other for the same faces, the gallery.
        labels: (N,) whose.
    """
    one, other = left.astype(np.float64), right.astype(np.float64)
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)[None, :]
    distances: Distances = np.maximum(squares - 2 * one @ other.T, 0)
    apart = ~np.eye(len(labels), dtype=bool)
    same = labels[:, None] == labels[None, :]
    return distances[same & apart], distances[~same]


def accepted(distances: Distances, threshold: float) -> int:
    """How many comparisons a threshold accepts."""
    return int(np.count_nonzero(distances <= threshold))


def val(same: Distances, threshold: float) -> Proportion:
    """VAL(d): the share of comparisons of one person that are accepted.

    Raises:
        DatasetError: when there is none.
    """
    _require(same, "of one person")
    return wilson(accepted(same, threshold), len(same))


def far(different: Distances, threshold: float) -> Proportion:
    """FAR(d): the share of comparisons of two people that are accepted.

    Raises:
        DatasetError: when there is none.
    """
    _require(different, "of two people")
    return wilson(accepted(different, threshold), len(different))


def require_enough(different: int, target: float) -> None:
    """Passes so many comparisons of two people as can show a FAR: one of them may be accepted.

    Raises:
        DatasetError: TOO_FEW_PAIRS, with how many it takes.
    """
    if int(target * different + 1e-9) < 1:
        raise DatasetError(
            "TOO_FEW_PAIRS",
            f"{different} comparisons of two people cannot show a FAR of {target:g}; take {math.ceil(1 / target)} or "
            "more, or ask for a larger FAR",
        )


def threshold_at_far(different: Distances, target: float) -> float:
    """The largest threshold whose FAR is at most `target`.

    Raises:
        DatasetError: when there are too few comparisons to measure so small a FAR: fewer than 1 / target.
        ValueError: when the target is not in (0, 1).
    """
    if not 0 < target < 1:
        raise ValueError(f"a false accept rate lies between 0 and 1, not {target}")
    _require(different, "of two people")
    # 1 - 1e-9: 1e-3 * 3000 must allow 3 whatever its rounding
    allowed = int(target * len(different) + 1e-9)
    require_enough(len(different), target)
    ranked = np.partition(different, allowed)
    # the first comparison that must not be accepted; equal distances before it are refused with it
    return float(np.nextafter(ranked[allowed], -np.inf))


@dataclass(frozen=True, slots=True)
class ValAtFar:
    """The validation rate at a false accept rate.

    Attributes:
        target: the FAR that was asked for.
        threshold: the largest squared L2 distance that keeps to it.
        val: the share of comparisons of one person that it accepts.
        far: the share of comparisons of two people that it accepts; less than `target` where distances are tied.
    """

    target: float
    threshold: float
    val: Proportion
    far: Proportion


def val_at_far(same: Distances, different: Distances, target: float = 1e-3) -> ValAtFar:
    """VAL at the largest threshold whose FAR is at most `target`.

    Raises:
        DatasetError: when there are too few comparisons.
    """
    threshold = threshold_at_far(different, target)
    return ValAtFar(target, threshold, val(same, threshold), far(different, threshold))


@dataclass(frozen=True, slots=True)
class Roc:
    """Receiver operating characteristic, from the strictest threshold to the laxest.

    Attributes:
        thresholds: (T,) float64 ascending, squared L2; each distance that occurs, behind one below all of them.
        far: (T,) float64 ascending.
        val: (T,) float64 ascending.
        area: under VAL over FAR, 0..1; the chance that a pair of one person is nearer than a pair of two.
    """

    thresholds: NDArray[np.float64]
    far: NDArray[np.float64]
    val: NDArray[np.float64]
    area: float


def roc(same: Distances, different: Distances) -> Roc:
    """FAR and VAL at every threshold that makes a difference.

    Raises:
        DatasetError: when one of the two kinds of comparisons is absent.
    """
    _require(same, "of one person")
    _require(different, "of two people")
    occurring = np.unique(np.concatenate([same, different]))
    thresholds = np.concatenate([[np.nextafter(occurring[0], -np.inf)], occurring])
    far_at = np.searchsorted(np.sort(different), thresholds, side="right") / len(different)
    val_at = np.searchsorted(np.sort(same), thresholds, side="right") / len(same)
    return Roc(thresholds, far_at, val_at, float(np.trapezoid(val_at, far_at)))


def best_threshold(distances: Distances, same: NDArray[np.bool_]) -> float:
    """The threshold of the greatest accuracy, in the middle between the two distances that it separates.

    Of several equally good ones the smallest, which accepts the fewest.
    """
    order = np.argsort(distances, kind="stable")
    ranked, is_same = distances[order], same[order]
    # right[k]: decisions that are right when the k nearest are accepted
    right = np.concatenate([[0], np.cumsum(np.where(is_same, 1, -1))])
    # a threshold cannot part equal distances
    parts = np.concatenate([[True], ranked[1:] > ranked[:-1], [True]])
    best = int(np.argmax(np.where(parts, right, -len(ranked) - 1)))
    padded = np.concatenate([[ranked[0] - 1e-6], ranked, [ranked[-1] + 1e-6]])
    return float((padded[best] + padded[best + 1]) / 2)


def _require(distances: Distances, kind: str) -> None:
    if not len(distances):
        raise DatasetError(
            "NO_PAIRS", f"there are no comparisons {kind}; the test needs pairs of one person and of two"
        )
