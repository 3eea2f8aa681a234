"""A decision is remembered for the circumstances it was made in; if anything is wrong, it is made again."""

from __future__ import annotations

import json
import logging

import pytest

from server.inference.choose import Decision, Trial
from server.inference.decisions import Circumstances, Decisions, library_versions, processor
from server.inference.load import Runtime
from server.inference.parity import Verdict

SAME = Verdict(True, "the same")
DECISION = Decision(
    Runtime.OPENVINO,
    (
        Trial(Runtime.ONNXRUNTIME, SAME, (3.0, 2.5)),
        Trial(Runtime.OPENVINO, SAME, (1.0, 0.5)),
        Trial(Runtime.OPENVINO_BF16, Verdict(False, "cosine 0.5")),
    ),
)


def circumstances(**changes):
    values = {
        "sha256": "00" * 32,
        "work": "embedder of (1, 3, 112, 112)",
        "threads": 1,
        "lanes": 2,
        "candidates": ("onnxruntime", "openvino"),
        "libraries": {"onnxruntime": "1.0"},
        "processor": "a processor",
    }
    return Circumstances(**{**values, **changes})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runtimes.json"


@pytest.fixture
def remembered(path):
    Decisions(path).remember(circumstances(), DECISION)
    return path


def test_nothing_is_remembered_at_first(path, caplog):
    assert Decisions(path).recall(circumstances()) is None
    assert not caplog.records


def test_a_decision_is_remembered_with_all_that_was_measured(remembered):
    found = Decisions(remembered).recall(circumstances())
    assert found == Decision(DECISION.runtime, DECISION.trials, remembered=True)
    assert "measured earlier" in found.why


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": "11" * 32},
        {"work": "embedder of (1, 3, 160, 160)"},
        {"threads": 2},
        {"lanes": 1},
        {"candidates": ("onnxruntime",)},
        {"libraries": {"onnxruntime": "1.1"}},
        {"libraries": {}},
        {"processor": "another processor"},
        {"method": 0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_circumstances_are_decided_anew(remembered, change):
    assert Decisions(remembered).recall(circumstances(**change)) is None


def test_decisions_for_other_circumstances_stay(remembered):
    Decisions(remembered).remember(circumstances(lanes=1), DECISION)
    assert Decisions(remembered).recall(circumstances()) is not None
    assert Decisions(remembered).recall(circumstances(lanes=1)) is not None


def test_a_new_decision_replaces_the_old_one(remembered):
    other = Decision(Runtime.ONNXRUNTIME, DECISION.trials)
    Decisions(remembered).remember(circumstances(), other)
    assert Decisions(remembered).recall(circumstances()).runtime is Runtime.ONNXRUNTIME
    assert len(json.loads(remembered.read_text())["entries"]) == 1


def test_the_file_does_not_grow_for_ever(path):
    for lanes in range(1, 80):
        Decisions(path).remember(circumstances(lanes=lanes), DECISION)
    assert len(json.loads(path.read_text())["entries"]) == 64
    assert Decisions(path).recall(circumstances(lanes=79)) is not None
    assert Decisions(path).recall(circumstances(lanes=1)) is None


def not_passed(content):
    content["entries"][0]["runtime"] = "openvino-bf16"


def unknown_runtime(content):
    content["entries"][0]["runtime"] = "abacus"


def of_the_future(content):
    content["schema_version"] = 2


def not_a_time(content):
    content["entries"][0]["trials"][0]["costs_ms"] = ["soon"]


@pytest.mark.parametrize("edit", [not_passed, unknown_runtime, of_the_future, not_a_time], ids=lambda f: f.__name__)
def test_a_file_that_says_nonsense_is_not_believed(remembered, edit, caplog):
    content = json.loads(remembered.read_text())
    edit(content)
    remembered.write_text(json.dumps(content))
    assert Decisions(remembered).recall(circumstances()) is None
    assert "damaged" in caplog.text
    Decisions(remembered).remember(circumstances(), DECISION)
    assert Decisions(remembered).recall(circumstances()) is not None


@pytest.mark.parametrize("cut", [0, 1, 100])
def test_half_a_file_is_not_believed(remembered, cut):
    remembered.write_bytes(remembered.read_bytes()[:cut])
    assert Decisions(remembered).recall(circumstances()) is None


def test_a_folder_that_cannot_be_written_is_logged_and_nothing_worse(tmp_path, caplog):
    (tmp_path / "file").write_text("no folder")
    with caplog.at_level(logging.WARNING):
        Decisions(tmp_path / "file" / "runtimes.json").remember(circumstances(), DECISION)
    assert "measured at every start" in caplog.text


def test_nothing_unfinished_is_left_behind(remembered):
    assert [path.name for path in remembered.parent.iterdir()] == [remembered.name]


def test_this_machine_has_a_name_and_libraries():
    assert processor() == processor() != ""
    assert {"onnxruntime", "openvino"} <= set(library_versions())
