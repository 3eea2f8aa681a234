from __future__ import annotations

import numpy as np
import pytest

from trainer.errors import DatasetError
from trainer.evaluate.folds import fold_accuracy, fold_val_at_far
from trainer.evaluate.verification import best_threshold, threshold_at_far


@pytest.fixture
def comparisons():
    drawn = np.random.default_rng(0)
    same = np.tile([True, False], 500)
    distances = np.where(same, drawn.normal(0.8, 0.3, 1000), drawn.normal(1.6, 0.3, 1000))
    return distances, same, np.repeat(np.arange(10), 100)


def test_each_fold_is_judged_at_the_best_threshold_of_the_other_nine(comparisons):
    distances, same, folds = comparisons
    ours = fold_accuracy(distances, same, folds)
    for fold in range(10):
        train, test = folds != fold, folds == fold
        threshold = best_threshold(distances[train], same[train])
        assert ours.thresholds[fold] == threshold
        right = [(d <= threshold) == s for d, s in zip(distances[test], same[test], strict=True)]
        assert ours.values[fold] == sum(right) / len(right)
    assert ours.mean == pytest.approx(sum(ours.values) / 10)


def test_a_folds_own_pairs_have_no_part_in_its_threshold(comparisons):
    distances, same, folds = comparisons
    spoilt = np.where(folds == 4, 4 - distances, distances)
    first, second = fold_accuracy(distances, same, folds), fold_accuracy(spoilt, same, folds)
    assert first.thresholds[4] == second.thresholds[4]
    assert first.values[4] != second.values[4]


def test_val_of_each_fold_is_taken_at_the_others_threshold(comparisons):
    distances, same, folds = comparisons
    ours = fold_val_at_far(distances, same, folds, target=0.01)
    for fold in range(10):
        threshold = threshold_at_far(distances[(folds != fold) & ~same], 0.01)
        assert ours.values[fold] == np.mean(distances[(folds == fold) & same] <= threshold)


def test_the_standard_error_is_that_of_the_mean(comparisons):
    ours = fold_accuracy(*comparisons)
    deviation = np.sqrt(sum((value - ours.mean) ** 2 for value in ours.values) / 9)
    assert ours.standard_error == pytest.approx(deviation / np.sqrt(10))


def test_perfect_separation_is_perfect_in_every_fold():
    same = np.tile([True, False], 50)
    ours = fold_accuracy(np.where(same, 0.1, 3.9), same, np.arange(100) // 10)
    assert ours.values == (1.0,) * 10
    assert str(ours) == "100.00% +- 0.00%"


def test_a_single_fold_is_refused(comparisons):
    distances, same, folds = comparisons
    with pytest.raises(DatasetError, match="fold"):
        fold_accuracy(distances, same, np.zeros_like(folds))
    with pytest.raises(DatasetError, match="fold"):
        fold_val_at_far(distances, same, np.zeros_like(folds))
