from __future__ import annotations

import json

from tests.trainer.bench_training import main


def test_a_tiny_comparison_measures_both_and_says_whether_its_bars_are_met(tmp_path, capsys):
    status = main([
        *("--steps", "2", "--people", "4", "--faces", "2", "--seeds", "1", "--drawn", "10", "4", "--held-out", "5"),
        *("--output", str(tmp_path / "out.json")),
    ])  # fmt: skip
    values = json.loads((tmp_path / "out.json").read_text())
    assert set(values["faces_per_second"]) == set(values["val"]) == {"facestream", "pytorch-metric-learning"}
    assert all(rate > 0 for rate in values["faces_per_second"].values())
    assert status == int(not all(bar["met"] for bar in values["bars"].values()))
    assert "bar" in capsys.readouterr().out
