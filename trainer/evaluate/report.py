"""Everything measured on a list of pairs, and its Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.errors import DatasetError
from trainer.evaluate.folds import FoldFigures, fold_accuracy, fold_val_at_far
from trainer.evaluate.pairs import Pairs
from trainer.evaluate.proportion import Proportion
from trainer.evaluate.verification import (
    Distances,
    Roc,
    ValAtFar,
    best_threshold,
    far,
    pair_distances,
    roc,
    val,
    val_at_far,
)

STATED_FAR = 1e-3


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """What a threshold that was chosen elsewhere does on the pairs.

    Attributes:
        threshold: squared L2.
        val: VAL(d), the share of the pairs of one person that it accepts.
        far: FAR(d), the share of the pairs of two people that it accepts.
        accuracy: the share of all pairs that it decides rightly, 0..1.
    """

    threshold: float
    val: Proportion
    far: Proportion
    accuracy: float


@dataclass(frozen=True, slots=True)
class PairReport:
    """What a list of pairs says about a model.

    Attributes:
        pairs: how many.
        accuracy: of each fold at the others' best threshold; None when the list has a single fold.
        val: VAL of each fold at the others' threshold for `STATED_FAR`; None for a single fold or too few pairs.
        best: the accuracy at the best threshold of all pairs, which flatters.
        best_at: that threshold, squared L2.
        points: VAL at each FAR that the pairs can show, at the threshold that these very pairs give.
        curve: FAR and VAL at every threshold.
        stated: what the thresholds do that were asked about.
    """

    pairs: int
    accuracy: FoldFigures | None
    val: FoldFigures | None
    best: float
    best_at: float
    points: tuple[ValAtFar, ...]
    curve: Roc
    stated: tuple[AtThreshold, ...] = ()


def judge_pairs(
    embeddings: NDArray[np.float32], pairs: Pairs, fars: Sequence[float], thresholds: Sequence[float] = ()
) -> PairReport:
    """Judges embeddings of `pairs.images`, (N, D), on the pairs.

    FARs that the list has too few pairs for are left out. Thresholds, squared L2, are those to be tried besides.

    Raises:
        DatasetError: when pairs of one kind are absent.
    """
    distances = pair_distances(embeddings, pairs.left, pairs.right)
    same, different = distances[pairs.same], distances[~pairs.same]
    curve = roc(same, different)
    threshold = best_threshold(distances, pairs.same)
    several = len(np.unique(pairs.folds)) > 1
    return PairReport(
        len(pairs),
        fold_accuracy(distances, pairs.same, pairs.folds) if several else None,
        _fold_val(distances, pairs) if several else None,
        float(np.mean((distances <= threshold) == pairs.same)),
        threshold,
        tuple(val_at_far(same, different, rate) for rate in sorted(fars) if rate * len(different) >= 1),
        curve,
        tuple(_at(limit, distances, pairs) for limit in thresholds),
    )


def _at(limit: float, distances: Distances, pairs: Pairs) -> AtThreshold:
    same, different = distances[pairs.same], distances[~pairs.same]
    right = float(np.mean((distances <= limit) == pairs.same))
    return AtThreshold(limit, val(same, limit), far(different, limit), right)


def _fold_val(distances: Distances, pairs: Pairs) -> FoldFigures | None:
    different = [int((~pairs.same & (pairs.folds != fold)).sum()) for fold in np.unique(pairs.folds)]
    same = [int((pairs.same & (pairs.folds == fold)).sum()) for fold in np.unique(pairs.folds)]
    if min(different) * STATED_FAR < 1 or not min(same):
        return None
    return fold_val_at_far(distances, pairs.same, pairs.folds, target=STATED_FAR)


def require_points(report: PairReport) -> None:
    """Passes a report with a threshold in it.

    Raises:
        DatasetError: when the pairs were too few for every FAR.
    """
    if not report.points:
        raise DatasetError("TOO_FEW_PAIRS", f"{report.pairs} pairs are too few for any of the FARs; take more pairs")


def to_markdown(title: str, report: PairReport) -> str:
    """The report as Markdown."""
    lines = [f"# {title}", "", f"{report.pairs} pairs.", ""]
    if report.accuracy is not None:
        lines += [
            f"Accuracy over {len(report.accuracy.values)} folds, each at the best threshold of the others: "
            f"**{report.accuracy}**.",
            "",
        ]
    if report.val is not None:
        lines += [f"VAL over them, each at the others' threshold for a FAR of {STATED_FAR:g}: **{report.val}**.", ""]
    lines += [
        f"Accuracy at the best threshold of all pairs ({report.best_at:.4f}): {report.best:.2%}. "
        f"Area under the ROC curve: {report.curve.area:.5f}.",
        "",
        "Each threshold is the one that gives the FAR on these very pairs; the interval is of VAL at it.",
        "",
        "| FAR wanted | threshold (squared L2) | VAL | 95 % interval | FAR measured |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [_row(point) for point in report.points]
    if report.stated:
        lines += [
            "",
            "| threshold stated (squared L2) | VAL | 95 % interval | FAR | 95 % interval | accuracy |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
    lines += [
        f"| {at.threshold:.4f} | {at.val.value:.2%} | {_interval(at.val)} | {at.far.value:.3%} | "
        f"{at.far.low:.3%} .. {at.far.high:.3%} | {at.accuracy:.2%} |"
        for at in report.stated
    ]
    return "\n".join(lines) + "\n"


def comparison_markdown(rows: Sequence[tuple[str, int, PairReport]]) -> str:
    """A table of several models on the same pairs, as the paper's table 5 compares dimensions.

    Args:
        rows: name, dimension and report of each model; VAL is stated at 1e-3, the paper's FAR, or at the smallest that
            the pairs can show.
    """
    points = rows[0][2].points
    if not points:
        return ""
    place = min(range(len(points)), key=lambda index: abs(np.log(points[index].target / STATED_FAR)))
    lines = [
        "",
        f"| model | dimensions | accuracy | VAL at FAR {points[place].target:g} | 95 % interval | area under the ROC |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {name} | {dimension} | {report.accuracy or f'{report.best:.2%}'} | {report.points[place].val.value:.2%} "
        f"| {_interval(report.points[place].val)} | {report.curve.area:.5f} |"
        for name, dimension, report in rows
    ]
    return "\n".join(lines) + "\n"


def quality_markdown(rows: Sequence[tuple[str, PairReport]]) -> str:
    """A table of VAL for each quality of the pictures, at the smallest FAR that the pairs can show.

    Args:
        rows: name of the quality and the report on pictures of it; the thresholds are fitted anew for each, as in the
            paper.
    """
    if not rows or not rows[0][1].points:
        return ""
    rate = rows[0][1].points[0].target
    lines = [
        "",
        "Thresholds are fitted anew in each row.",
        "",
        f"| pictures | VAL at FAR {rate:g} | 95 % interval | accuracy |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {name} | {report.points[0].val.value:.2%} | {_interval(report.points[0].val)} "
        f"| {report.accuracy.mean if report.accuracy else report.best:.2%} |"
        for name, report in rows
    ]
    return "\n".join(lines) + "\n"


def _row(point: ValAtFar) -> str:
    return (
        f"| {point.target:g} | {point.threshold:.4f} | {point.val.value:.2%} | {_interval(point.val)} "
        f"| {point.far.value:.3%} |"
    )


def _interval(share: Proportion) -> str:
    return f"{share.low:.2%} .. {share.high:.2%}"
