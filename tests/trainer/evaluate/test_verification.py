from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from trainer.errors import DatasetError
from trainer.evaluate.verification import (
    across_pairs,
    all_pairs,
    best_threshold,
    far,
    pair_distances,
    roc,
    threshold_at_far,
    val,
    val_at_far,
)


@pytest.fixture
def distances():
    drawn = np.random.default_rng(0)
    return drawn.normal(0.8, 0.3, 400).clip(0, 4), drawn.normal(1.6, 0.3, 700).clip(0, 4)


def rounded(distances):
    """With many ties."""
    return tuple(kind.round(1) for kind in distances)


def test_pair_distances_agree_with_a_naive_loop():
    embeddings = np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32)
    left, right = np.array([0, 3, 5]), np.array([1, 3, 2])
    naive = [
        sum((float(a) - float(b)) ** 2 for a, b in zip(embeddings[i], embeddings[j], strict=True))
        for i, j in zip(left, right, strict=True)
    ]
    np.testing.assert_allclose(pair_distances(embeddings, left, right), naive, atol=1e-12)


def test_all_pairs_agree_with_a_naive_loop():
    embeddings = np.random.default_rng(1).normal(size=(7, 5)).astype(np.float32)
    labels = np.array([0, 1, 0, 2, 1, 1, 0])
    naive = {True: [], False: []}
    for i in range(7):
        for j in range(i + 1, 7):
            gaps = zip(embeddings[i], embeddings[j], strict=True)
            naive[bool(labels[i] == labels[j])].append(sum((float(a) - float(b)) ** 2 for a, b in gaps))
    same, different = all_pairs(embeddings, labels)
    np.testing.assert_allclose(same, naive[True], atol=1e-12)
    np.testing.assert_allclose(different, naive[False], atol=1e-12)


def test_pairs_across_models_agree_with_a_naive_loop():
    drawn = np.random.default_rng(1)
    left, right = (drawn.normal(size=(6, 5)).astype(np.float32) for _ in range(2))
    labels = np.array([0, 1, 0, 2, 1, 0])
    naive = {True: [], False: []}
    for i in range(6):
        for j in range(6):
            if i != j:  # a photograph is not compared with itself
                gaps = zip(left[i], right[j], strict=True)
                naive[bool(labels[i] == labels[j])].append(sum((float(a) - float(b)) ** 2 for a, b in gaps))
    same, different = across_pairs(left, right, labels)
    np.testing.assert_allclose(same, naive[True], atol=1e-12)
    np.testing.assert_allclose(different, naive[False], atol=1e-12)


def test_a_distance_equal_to_the_threshold_is_accepted():
    same = np.array([0.5, 1.0, 1.5, 2.0])
    assert val(same, 1.0).value == 0.5
    assert far(same, 1.0).value == 0.5


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("target", [0.002, 0.01, 0.1, 0.5])
def test_the_threshold_is_the_largest_that_keeps_to_the_far(distances, target, ties):
    _, different = rounded(distances) if ties else distances
    threshold = threshold_at_far(different, target)
    assert np.mean(different <= threshold) <= target
    next_larger = different[different > threshold].min()
    assert np.mean(different <= next_larger) > target


@pytest.mark.parametrize("ties", [False, True])
def test_val_at_far_agrees_with_scikit_learns_curve(distances, ties):
    same, different = rounded(distances) if ties else distances
    truth = np.r_[np.ones(len(same)), np.zeros(len(different))]
    fpr, tpr, _ = roc_curve(truth, -np.r_[same, different], drop_intermediate=False)
    for target in (0.002, 0.01, 0.1):
        ours = val_at_far(same, different, target)
        assert ours.val.value == tpr[fpr <= target].max()
        assert ours.far.value == fpr[fpr <= target].max()


@pytest.mark.parametrize("ties", [False, True])
def test_the_roc_agrees_with_scikit_learn(distances, ties):
    same, different = rounded(distances) if ties else distances
    truth = np.r_[np.ones(len(same)), np.zeros(len(different))]
    fpr, tpr, _ = roc_curve(truth, -np.r_[same, different], drop_intermediate=False)
    ours = roc(same, different)
    np.testing.assert_allclose(ours.far, fpr, atol=1e-12)
    np.testing.assert_allclose(ours.val, tpr, atol=1e-12)
    assert ours.area == pytest.approx(roc_auc_score(truth, -np.r_[same, different]), abs=1e-12)


def test_each_threshold_of_the_roc_reaches_its_far_and_val(distances):
    same, different = rounded(distances)
    ours = roc(same, different)
    for threshold, far_at, val_at in zip(ours.thresholds, ours.far, ours.val, strict=True):
        assert np.mean(different <= threshold) == far_at
        assert np.mean(same <= threshold) == val_at


def test_as_many_pairs_as_the_far_allows_are_accepted_in_spite_of_rounding():
    assert np.count_nonzero(np.arange(3000.0) <= threshold_at_far(np.arange(3000.0), 1e-3)) == 3


def test_too_few_pairs_for_a_far_are_refused_with_the_number_needed():
    with pytest.raises(DatasetError, match=r"500 comparisons.*1000"):
        val_at_far(np.zeros(5), np.ones(500), 1e-3)


@pytest.mark.parametrize("target", [0, 1, -0.1, 2])
def test_a_far_that_is_no_rate_is_refused(target):
    with pytest.raises(ValueError, match="between 0 and 1"):
        threshold_at_far(np.ones(10), target)


def test_a_test_without_pairs_of_one_kind_is_refused():
    none, some = np.zeros(0), np.ones(3)
    with pytest.raises(DatasetError, match="of one person"):
        roc(none, some)
    with pytest.raises(DatasetError, match="of two people"):
        roc(some, none)
    with pytest.raises(DatasetError, match="of one person"):
        val(none, 1.0)


@pytest.mark.parametrize("seed", range(8))
def test_the_best_threshold_is_as_accurate_as_the_best_of_all_candidates(seed):
    drawn = np.random.default_rng(seed)
    distances = drawn.random(30).round(1 if seed % 2 else 8)
    same = drawn.random(30) < 0.5
    candidates = [-1.0, *distances, 9.0]
    best = max(np.mean((distances <= candidate) == same) for candidate in candidates)
    assert np.mean((distances <= best_threshold(distances, same)) == same) == best


@pytest.mark.parametrize("same", [True, False])
def test_the_best_threshold_exists_when_all_pairs_are_of_one_kind(same):
    distances = np.array([0.3, 0.1])
    kinds = np.full(2, same)
    assert np.all((distances <= best_threshold(distances, kinds)) == kinds)


def test_the_best_threshold_lies_in_the_middle_of_the_gap():
    distances, same = np.array([0.2, 0.4, 1.0, 1.4]), np.array([True, True, False, False])
    assert best_threshold(distances, same) == pytest.approx(0.7)
