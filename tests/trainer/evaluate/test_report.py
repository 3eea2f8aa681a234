from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trainer.errors import DatasetError
from trainer.evaluate.folds import fold_accuracy, fold_val_at_far
from trainer.evaluate.pairs import Pairs
from trainer.evaluate.report import comparison_markdown, judge_pairs, require_points, to_markdown
from trainer.evaluate.verification import pair_distances, val_at_far


@pytest.fixture
def judged():
    drawn = np.random.default_rng(0)
    embeddings = drawn.normal(size=(100, 8)).astype(np.float32)
    same = np.tile([True, False], 100)
    left = drawn.integers(100, size=200)
    right = np.where(same, (left + 1) % 100, (left + 50) % 100)
    embeddings[1::2] = embeddings[::2] + 0.3 * embeddings[1::2]
    pairs = Pairs(tuple(Path(str(i)) for i in range(100)), left, right, same, np.arange(200) // 50)
    return embeddings, pairs


def test_the_report_holds_what_the_single_functions_say(judged):
    embeddings, pairs = judged
    report = judge_pairs(embeddings, pairs, [0.1, 0.01])
    distances = pair_distances(embeddings, pairs.left, pairs.right)
    assert report.accuracy == fold_accuracy(distances, pairs.same, pairs.folds)
    same, different = distances[pairs.same], distances[~pairs.same]
    assert report.points == (val_at_far(same, different, 0.01), val_at_far(same, different, 0.1))
    assert report.best >= report.accuracy.mean


def test_val_over_folds_is_at_thresholds_of_other_folds():
    drawn = np.random.default_rng(1)
    count = 4000
    embeddings = drawn.normal(size=(2 * count, 8)).astype(np.float32)
    same = np.arange(count) % 4 == 0
    embeddings[1::2][same] = embeddings[::2][same] + 0.2 * embeddings[1::2][same]
    left = np.arange(0, 2 * count, 2)
    pairs = Pairs(tuple(Path(str(i)) for i in range(2 * count)), left, left + 1, same, np.arange(count) // 2000)
    report = judge_pairs(embeddings, pairs, [1e-3])
    distances = pair_distances(embeddings, pairs.left, pairs.right)
    assert report.val == fold_val_at_far(distances, same, pairs.folds, target=1e-3)
    assert f"for a FAR of 0.001: **{report.val}**" in to_markdown("x", report)


def test_too_few_pairs_have_no_val_over_folds(judged):
    report = judge_pairs(*judged, [0.1])
    assert report.val is None
    assert "VAL over them" not in to_markdown("x", report)


def test_fars_that_the_pairs_cannot_show_are_left_out(judged):
    report = judge_pairs(*judged, [0.001, 0.1])
    assert [point.target for point in report.points] == [0.1]
    require_points(report)
    with pytest.raises(DatasetError, match="200 pairs"):
        require_points(judge_pairs(*judged, [0.001]))


def test_a_single_fold_has_no_accuracy_over_folds(judged):
    embeddings, pairs = judged
    one = Pairs(pairs.images, pairs.left, pairs.right, pairs.same, np.zeros_like(pairs.folds))
    report = judge_pairs(embeddings, one, [0.1])
    assert report.accuracy is None
    assert "folds" not in to_markdown("x", report)


def test_the_markdown_has_every_figure(judged):
    report = judge_pairs(*judged, [0.1, 0.01])
    text = to_markdown("nn4 on pairs", report)
    assert text.startswith("# nn4 on pairs\n")
    assert str(report.accuracy) in text
    for point in report.points:
        assert f"| {point.target:g} | {point.threshold:.4f} | {point.val.value:.2%} |" in text


def test_a_stated_threshold_is_judged_as_it_is(judged):
    embeddings, pairs = judged
    (at,) = judge_pairs(embeddings, pairs, [0.1], [0.75]).stated
    accepted = [
        float(((embeddings[i] - embeddings[j]) ** 2).sum()) <= 0.75
        for i, j in zip(pairs.left, pairs.right, strict=True)
    ]
    same = pairs.same.tolist()
    assert at.val.value == sum(a for a, s in zip(accepted, same, strict=True) if s) / sum(same)
    assert at.far.value == sum(a for a, s in zip(accepted, same, strict=True) if not s) / (len(same) - sum(same))
    assert at.accuracy == pytest.approx(sum(a == s for a, s in zip(accepted, same, strict=True)) / len(same))
    assert f"| 0.7500 | {at.val.value:.2%} |" in to_markdown("x", judge_pairs(embeddings, pairs, [0.1], [0.75]))


def test_models_are_compared_at_the_far_nearest_to_the_papers(judged):
    report = judge_pairs(*judged, [0.1, 0.01])
    text = comparison_markdown([("a", 64, report), ("b", 512, report)])
    assert "| VAL at FAR 0.01 |" in text
    for name in ("| a | 64 |", "| b | 512 |"):
        assert f"{name} {report.accuracy} | {report.points[0].val.value:.2%} |" in text
