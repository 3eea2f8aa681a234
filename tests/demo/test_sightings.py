from __future__ import annotations

import json

import pytest

from clients.faces import Box, Face, Landmarks, Match, Quality, Undecided, UndecidedReason, Unknown, UnknownReason
from clients.frames import Dropped, DropReason, FrameAnswer, Recognised, Side, Stamp, Timing
from clients.output import frame_json
from demo import geometry
from demo.errors import DemoError
from demo.sightings import DROPPED, RESULT, Answer, SeenFace, read_sightings

QUALITY = Quality(1, 60, 20, 0, 0, 0, 120)
LANDMARKS = Landmarks((1, 1), (2, 1), (1.5, 1.5), (1, 2), (2, 2))


def face(answer) -> Face:
    return Face(Box(10, 20, 30, 40), LANDMARKS, 0.9, QUALITY, "", answer)


def test_the_lines_of_the_camera_command_are_understood(tmp_path):
    faces = (
        face(Match("tenants/default/galleries/default/identities/a", "Ada", 0.5, 1.2, 0.7, None)),
        face(Unknown("", UnknownReason.TOO_FAR, 1.6, 1.2)),
        face(Undecided(UndecidedReason.LOW_QUALITY)),
    )
    outcomes = (
        Recognised(None, faces, Timing(0, 0, 0, 0, 0, 0, 0, 0), 1, 0),  # type: ignore[arg-type]
        Dropped(Side.CLIENT, DropReason.SUPERSEDED),
    )
    answers = [FrameAnswer(Stamp(number, 0, 0), outcome) for number, outcome in enumerate(outcomes, 1)]
    path = tmp_path / "sightings.jsonl"
    path.write_text("".join(json.dumps(frame_json(answer)) + "\n" for answer in answers))
    box = geometry.Box(10, 20, 30, 40)
    assert read_sightings(path) == [
        Answer(1, RESULT, (SeenFace(box, "Ada", 0.5, 1.2), SeenFace(box, "", 1.6, 1.2), SeenFace(box, "", None, None))),
        Answer(2, DROPPED, ()),
    ]


@pytest.mark.parametrize("line", ["not json", "[]", "{}", '{"sequence": 1, "outcome": "result", "faces": [{}]}'])
def test_another_file_is_refused(tmp_path, line):
    path = tmp_path / "sightings.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(DemoError, match=r"sightings\.jsonl"):
        read_sightings(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DemoError):
        read_sightings(tmp_path / "sightings.jsonl")
