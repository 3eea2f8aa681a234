"""Pictures for a report: the ROC, VAL by the quality of the pictures, and clusters by threshold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from server.errors import StorageError
from trainer.evaluate.clustering import Clustered
from trainer.evaluate.quality import Degradation, Worse
from trainer.evaluate.report import PairReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 120


def roc_figure(curves: Sequence[tuple[str, PairReport]]) -> Figure:
    """VAL over FAR, logarithmic, one line for each named model."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, report in curves:
        axes.step(report.curve.far, report.curve.val, where="post", label=name, linewidth=1.8)
    least = min(_least_far(report) for _, report in curves)
    axes.set(xscale="log", xlim=(least, 1), ylim=(0, 1.005), xlabel="FAR", ylabel="VAL")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", frameon=False)
    return figure


def quality_figure(rows: Sequence[tuple[Degradation, PairReport]], untouched: PairReport) -> Figure:
    """VAL at the smallest FAR by JPEG quality and by pixels, with 95 % intervals; a line shows the untouched crops."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, kind in zip(panels, Worse, strict=True):
        _quality_panel(axes, kind, [(how.level, report) for how, report in rows if how.kind is kind])
        axes.axhline(untouched.points[0].val.value, color="0.4", linestyle="--", linewidth=1, label="as they are")
        axes.legend(loc="lower right", frameon=False)
    panels[0].set(ylabel=f"VAL at FAR {untouched.points[0].target:g}", ylim=(0, 1.005))
    return figure


def clustering_figure(rows: Sequence[Clustered]) -> Figure:
    """B-cubed and pairwise F over the threshold."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    ranked = sorted(rows, key=lambda row: row.threshold)
    limits = [row.threshold for row in ranked]
    axes.plot(limits, [row.by_face.f_score for row in ranked], marker="o", label="B-cubed F")
    axes.plot(limits, [row.by_pair.f_score for row in ranked], marker="s", label="pairwise F")
    axes.set(ylim=(0, 1.005), xlabel="threshold (mean squared L2)", ylabel="F")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", frameon=False)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG.

    Raises:
        StorageError: when it cannot be written.
    """
    try:
        figure.savefig(path, dpi=_DPI)
    except OSError as error:
        raise StorageError("REPORT_NOT_WRITTEN", f"{path} cannot be written: {error.strerror}") from error


def _quality_panel(axes: Axes, kind: Worse, rows: Sequence[tuple[int, PairReport]]) -> None:
    levels = [level for level, _ in rows]
    shares = [report.points[0].val for _, report in rows]
    below = [share.value - share.low for share in shares]
    above = [share.high - share.value for share in shares]
    axes.errorbar(levels, [share.value for share in shares], yerr=[below, above], marker="o", capsize=3)
    axes.set(xlabel=kind.value, xscale="log" if kind is Worse.SMALLER else "linear")
    axes.grid(alpha=0.3)


def _least_far(report: PairReport) -> float:
    """The FAR of a single pair that is accepted."""
    return float(report.curve.far[report.curve.far > 0].min())
