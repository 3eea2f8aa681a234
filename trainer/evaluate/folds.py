"""LFW's protocol: each fold is judged by what the others taught (Huang et al. 2007, view 2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.errors import DatasetError
from trainer.evaluate.verification import Distances, best_threshold, threshold_at_far


@dataclass(frozen=True, slots=True)
class FoldFigures:
    """A figure for each fold.

    Attributes:
        values: one for each fold, 0..1.
        thresholds: the threshold that each fold was judged by, fitted on the other folds; squared L2.
    """

    values: tuple[float, ...]
    thresholds: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the folds."""
        return float(np.mean(self.values))

    @property
    def standard_error(self) -> float:
        """Standard error of the mean, the +- that LFW's results are given with."""
        return float(np.std(self.values, ddof=1) / np.sqrt(len(self.values)))

    def __str__(self) -> str:
        return f"{self.mean:.2%} +- {self.standard_error:.2%}"


def fold_accuracy(distances: Distances, same: NDArray[np.bool_], folds: NDArray[np.intp]) -> FoldFigures:
    """Accuracy on each fold at the best threshold of the others.

    Args:
        distances: (P,) squared L2.
        same: (P,) whether a pair is one person.
        folds: (P,) the fold of each pair.

    Raises:
        DatasetError: when there are fewer than two folds.
    """
    values, thresholds = [], []
    for inside in _folds(folds):
        threshold = best_threshold(distances[~inside], same[~inside])
        values.append(float(np.mean((distances[inside] <= threshold) == same[inside])))
        thresholds.append(threshold)
    return FoldFigures(tuple(values), tuple(thresholds))


def fold_val_at_far(
    distances: Distances,
    same: NDArray[np.bool_],
    folds: NDArray[np.intp],
    *,
    target: float = 1e-3,
) -> FoldFigures:
    """VAL on each fold at the threshold where the others' FAR is `target`.

    Raises:
        DatasetError: when there are fewer than two folds, or too few pairs in them.
    """
    values, thresholds = [], []
    for inside in _folds(folds):
        if not (inside & same).any():
            raise DatasetError("NO_PAIRS", "a fold holds no pair of one person; deal the pairs out evenly")
        threshold = threshold_at_far(distances[~inside & ~same], target)
        values.append(float(np.mean(distances[inside & same] <= threshold)))
        thresholds.append(threshold)
    return FoldFigures(tuple(values), tuple(thresholds))


def _folds(folds: NDArray[np.intp]) -> list[NDArray[np.bool_]]:
    numbers = np.unique(folds)
    if len(numbers) < 2:
        raise DatasetError("TOO_FEW_FOLDS", f"{len(numbers)} fold(s) leave nothing to fit a threshold on; 10 are usual")
    return [folds == number for number in numbers]
