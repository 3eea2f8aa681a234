from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from clients.faces import Unknown, UnknownReason
from clients.fake.script import found_face, matching, stranger, unsure
from clients.frames import Dropped, DropReason, Failed, FrameAnswer, Lost, Recognised, Side, Stamp, Timing
from clients.output import Clock, face_json, frame_json, moment, photo_rows, sighting_rows, timestamp
from clients.people import PhotoOutcome, Refusal
from clients.summary import summarise
from clients.text import json_line
from clients.wire.faces import read_face

STAMP = Stamp(7, 1_700_000_000_123_456_789, 61_250_000_000)
TIMING = Timing(0, 0, 0, 0, 0, 0, 0, 4_200_000)


def recognised(*faces: object) -> FrameAnswer:
    image = np.zeros((1, 1, 3), np.uint8)
    return FrameAnswer(STAMP, Recognised(image, tuple(map(read_face, faces)), TIMING, 1, 31_500_000))


def test_a_recognised_frame_has_everything_about_its_faces() -> None:
    line = frame_json(recognised(matching("Ada", distance=0.5, left=1, top=2, side=30)))
    assert json.loads(json_line(line)) == {
        "sequence": 7,
        "captured_at": "2023-11-14T22:13:20.123Z",
        "position_s": 61.25,
        "outcome": "result",
        "latency_ms": 31.5,
        "server_ms": 4.2,
        "faces": [
            {
                "box": [1.0, 2.0, 30.0, 30.0],
                "name": "Ada",
                "answer": "match",
                "identity": matching("Ada").match.identity,
                "distance": 0.5,
                "threshold": 1.1,
                "margin": 0.4,
                "confidence": None,
                "provisional": False,
                "quality": 0.8,
                "score": 0.9,
            }
        ],
    }


@pytest.mark.parametrize(
    ("outcome", "rest"),
    [
        (Dropped(Side.CLIENT, DropReason.SUPERSEDED), {"outcome": "dropped", "by": "client", "reason": "superseded"}),
        (
            Failed(Side.SERVER, "IMAGE_DAMAGED", "x"),
            {"outcome": "error", "by": "server", "reason": "IMAGE_DAMAGED", "message": "x"},
        ),
        (Lost("cut"), {"outcome": "lost", "message": "cut"}),
    ],
)
def test_frames_without_a_result_say_why(outcome: object, rest: dict[str, str]) -> None:
    line = frame_json(FrameAnswer(STAMP, outcome))
    assert {key: line[key] for key in rest} == rest
    assert line["sequence"] == 7


def test_strangers_and_doubts_have_no_name_and_a_reason() -> None:
    unknown, undecided, none = (face_json(read_face(face)) for face in (stranger(), unsure(), found_face()))
    assert (unknown["name"], unknown["answer"], unknown["reason"], unknown["distance"]) == (
        None,
        "unknown",
        "too_far",
        1.4,
    )
    assert (undecided["name"], undecided["answer"], undecided["reason"]) == (None, "undecided", "low_quality")
    assert (none["name"], none["answer"]) == (None, "none")


def test_a_stranger_s_group_is_told() -> None:
    grouped = Unknown("tenants/t/galleries/g/unknowns/7", UnknownReason.TOO_FAR, 1.4, 1.1)
    face = replace(read_face(stranger()), answer=grouped)
    assert face_json(face)["unknown"] == "tenants/t/galleries/g/unknowns/7"
    assert face_json(replace(face, answer=replace(grouped, group="")))["unknown"] is None


def test_a_name_that_only_one_look_gave_is_said_to_be_provisional() -> None:
    found = matching("Ada")
    assert face_json(read_face(found))["provisional"] is False
    found.match.provisional = True
    assert face_json(read_face(found))["provisional"] is True


def test_a_confidence_stands_beside_the_distance() -> None:
    sure = matching("Ada", distance=0.5)
    sure.match.confidence = 0.98764
    shown = face_json(read_face(sure))
    assert (shown["distance"], shown["confidence"]) == (0.5, 0.9876)


def test_missing_numbers_are_null() -> None:
    alone = matching("Ada")
    alone.match.ClearField("margin")
    empty = stranger()
    empty.unknown.ClearField("distance")
    assert face_json(read_face(alone))["margin"] is None
    assert face_json(read_face(empty))["distance"] is None


@pytest.mark.parametrize(
    ("position_ns", "shown"),
    [
        (0, "0:00.0"),
        (950_000_000, "0:01.0"),
        (59_940_000_000, "0:59.9"),
        (59_960_000_000, "1:00.0"),
        (3_725_000_000_000, "62:05.0"),
    ],
)
def test_positions_are_minutes_and_seconds(position_ns: int, shown: str) -> None:
    assert moment(Stamp(1, 0, position_ns), Clock.POSITION) == shown


def test_times_are_rfc_3339_to_the_millisecond() -> None:
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert timestamp(1_999_999_999) == "1970-01-01T00:00:01.999Z"


def test_the_table_shows_who_was_seen_when() -> None:
    rows = sighting_rows(summarise([recognised(matching("Ada", distance=0.5), stranger())]), Clock.POSITION)
    assert [row[:5] for row in rows] == [
        ("Ada", "1:01.2", "1:01.2", "1", "0.50 of 1.10"),
        ("(unknown)", "1:01.2", "1:01.2", "1", "1.40 of 1.10"),
    ]


def test_refused_photographs_show_the_servers_words_or_the_reason() -> None:
    photos = [
        PhotoOutcome("a.jpg", accepted=True, refusal=Refusal.UNSPECIFIED, message="", quality=None),
        PhotoOutcome("b.jpg", accepted=False, refusal=Refusal.NO_FACE, message="", quality=None),
        PhotoOutcome("c.jpg", accepted=False, refusal=Refusal.TOO_SMALL, message="12 pixels", quality=None),
    ]
    assert [row[1:] for row in photo_rows(photos)] == [
        ("accepted", "-", ""),
        ("refused", "-", "no face"),
        ("refused", "-", "12 pixels"),
    ]
