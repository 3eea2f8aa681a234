from __future__ import annotations

import pytest

from demo.errors import DemoError
from demo.geometry import Box
from demo.truth import Presence, Truth, read_truth, write_truth

TRUTH = Truth(
    15,
    ("Ada", "Zoë"),
    ((), (Presence("Zoë", Box(1.5, 2, 30, 40), 0.75, 1.2, 0.9),), (Presence("Bob", Box(-4, 2, 9, 9), 1, 0, 1),)),
)


def test_a_truth_is_read_as_it_was_written(tmp_path):
    write_truth(TRUTH, tmp_path / "walk.json")
    assert read_truth(tmp_path / "walk.json") == TRUTH


def test_frames_are_counted_from_one():
    assert TRUTH.at(1) == ()
    assert TRUTH.at(2)[0].person == "Zoë"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"fps": 15, "enrolled": [], "frames": [[{"person": "Ada"}]]}'])
def test_another_file_is_refused(tmp_path, text):
    path = tmp_path / "walk.json"
    path.write_text(text)
    with pytest.raises(DemoError, match=r"walk\.json is no ground truth"):
        read_truth(path)
