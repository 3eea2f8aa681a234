from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from server.errors import StorageError
from trainer.evaluate.pairs import Pairs
from trainer.evaluate.plots import quality_figure, roc_figure, save_figure
from trainer.evaluate.quality import degradations
from trainer.evaluate.report import judge_pairs


@pytest.fixture
def report():
    drawn = np.random.default_rng(0)
    embeddings = drawn.normal(size=(100, 8)).astype(np.float32)
    embeddings[1::2] = embeddings[::2] + 0.3 * embeddings[1::2]
    left = np.arange(100)
    same = left % 2 == 0
    pairs = Pairs(tuple(map(Path, map(str, left))), left, (left + 1) % 100, same, left // 50)
    return judge_pairs(embeddings, pairs, [0.1])


def test_the_roc_has_a_line_for_each_model_with_its_points(report):
    (axes,) = roc_figure([("a", report), ("b", report)]).axes
    assert [line.get_label() for line in axes.lines] == ["a", "b"]
    assert np.array_equal(axes.lines[0].get_xdata(), report.curve.far)
    assert np.array_equal(axes.lines[0].get_ydata(), report.curve.val)
    assert axes.get_xscale() == "log"
    assert axes.get_xlim()[0] == 1 / 50


def test_quality_is_drawn_in_a_panel_for_each_kind(report):
    rows = [(how, report) for how in degradations(112, 112)]
    compressed, smaller = quality_figure(rows, report).axes
    assert compressed.lines[0].get_xdata().tolist() == [10, 20, 30, 50, 70, 90]
    assert smaller.lines[0].get_xdata().tolist() == [1600, 6400]
    assert set(smaller.lines[0].get_ydata()) == {report.points[0].val.value}


def test_a_figure_becomes_a_picture_or_an_error_with_its_path(report, tmp_path):
    figure = roc_figure([("a", report)])
    save_figure(figure, tmp_path / "roc.png")
    assert (tmp_path / "roc.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(StorageError, match=r"none/roc\.png"):
        save_figure(figure, tmp_path / "none" / "roc.png")
