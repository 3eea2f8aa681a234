from __future__ import annotations

import random

import numpy as np

from clients.fake.script import found_face, matching, stranger, unsure
from clients.frames import Dropped, DropReason, FrameAnswer, Lost, Recognised, Side, Stamp, Timing
from clients.summary import Who, names_in, summarise
from clients.wire.faces import read_face

TIMING = Timing(0, 0, 0, 0, 0, 0, 0, 0)


def answer(number: int, *faces: object) -> FrameAnswer:
    image = np.zeros((1, 1, 3), np.uint8)
    return FrameAnswer(
        Stamp(number, 1000 * number, 10 * number),
        Recognised(image, tuple(read_face(face) for face in faces), TIMING, 1, 0),
    )


def test_a_person_is_seen_from_the_first_frame_to_the_last() -> None:
    answers = [
        answer(1),
        answer(2, matching("Ada", distance=0.7)),
        answer(3, matching("Ada", distance=0.4), stranger(distance=1.3)),
        answer(4, stranger(distance=1.5)),
        answer(9, matching("Ada", distance=0.9)),
        answer(10, unsure(), found_face()),
    ]
    ada, unknown = summarise(answers)
    assert (ada.who, ada.display_name) == (Who.PERSON, "Ada")
    assert (ada.first.sequence, ada.last.sequence, ada.frames) == (2, 9, 3)
    assert round(ada.best_distance, 3) == 0.4
    assert (unknown.who, unknown.first.sequence, unknown.last.sequence, unknown.frames) == (Who.UNKNOWN, 3, 4, 2)
    assert round(unknown.best_distance, 3) == 1.3


def test_the_order_of_the_answers_does_not_matter() -> None:
    rng = random.Random(5)
    answers = [
        answer(
            n, *(matching(name, distance=rng.random()) for name in rng.sample(["Ada", "Bob", "Cy"], rng.randrange(4)))
        )
        for n in range(1, 40)
    ]
    shuffled = answers[:]
    rng.shuffle(shuffled)
    assert summarise(shuffled) == summarise(answers)


def test_the_table_agrees_with_a_count_by_hand() -> None:
    rng = random.Random(6)
    seen = {n: rng.sample(["Ada", "Bob", "Cy"], rng.randrange(4)) for n in range(1, 60)}
    rows = {row.display_name: row for row in summarise(answer(n, *map(matching, names)) for n, names in seen.items())}
    for name in ("Ada", "Bob", "Cy"):
        frames = [n for n, names in seen.items() if name in names]
        row = rows[name]
        assert (row.first.sequence, row.last.sequence, row.frames) == (frames[0], frames[-1], len(frames))


def test_two_faces_of_one_person_in_a_frame_count_once() -> None:
    (ada,) = summarise([answer(1, matching("Ada"), matching("Ada", distance=0.2))])
    assert ada.frames == 1
    assert round(ada.best_distance, 3) == 0.2


def test_frames_without_a_result_are_no_sightings() -> None:
    outcomes = [Dropped(Side.CLIENT, DropReason.SUPERSEDED), Lost("gone")]
    assert summarise(FrameAnswer(Stamp(n, 0, 0), outcome) for n, outcome in enumerate(outcomes)) == []


def test_the_latest_name_of_a_renamed_person_is_shown() -> None:
    before, after = matching("Ada Byron"), matching("Ada Lovelace")
    after.match.identity = before.match.identity
    (row,) = summarise([answer(1, before), answer(2, after)])
    assert row.display_name == "Ada Lovelace"


def test_people_come_in_the_order_of_their_first_frame_and_strangers_last() -> None:
    rows = summarise([answer(1, stranger()), answer(2, matching("Bob")), answer(3, matching("Ada"))])
    assert [row.display_name for row in rows] == ["Bob", "Ada", ""]


def test_a_stranger_in_an_empty_gallery_has_no_distance() -> None:
    face = stranger()
    face.unknown.ClearField("distance")
    (row,) = summarise([answer(1, face)])
    assert row.best_distance is None


def test_names_in_a_frame_are_listed_once() -> None:
    faces = [read_face(face) for face in (matching("Ada"), stranger(), matching("Bob"), matching("Ada"))]
    assert names_in(faces) == ["Ada", "Bob"]
