from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from demo.check import check, is_clear, spans
from demo.geometry import Box
from demo.sightings import DROPPED, RESULT, Answer, SeenFace
from demo.truth import Presence, Truth

LEFT, RIGHT, EMPTY = Box(100, 100, 90, 120), Box(700, 120, 75, 100), Box(400, 500, 60, 80)
ADA = Presence("Ada", LEFT, 1.0, 1.0, 1.0)
STRANGER = Presence("Sam", RIGHT, 1.0, 1.0, 1.0)

TRUTH = Truth(10, ("Ada", "Zoë"), tuple([()] * 5 + [(ADA,)] * 20 + [(ADA, STRANGER)] * 20))
"""Ada is enrolled and walks, Sam is a stranger, Zoë is enrolled and never there."""


def seen(box: Box, name: str = "", distance: float = 0.6) -> SeenFace:
    return SeenFace(box.moved(3, -4), name, distance, 1.2)


def right_answers() -> list[Answer]:
    names = {"Ada": seen(LEFT, "Ada"), "Sam": seen(RIGHT, "", 1.6)}
    return [
        Answer(number, RESULT, tuple(names[presence.person] for presence in frame))
        for number, frame in enumerate(TRUTH.frames, 1)
    ]


def changed(*numbers: int, faces: Sequence[SeenFace] = (), outcome: str = RESULT) -> list[Answer]:
    return [
        replace(answer, faces=tuple(faces), outcome=outcome) if answer.sequence in numbers else answer
        for answer in right_answers()
    ]


def test_right_answers_have_no_faults():
    verdict = check(TRUTH, right_answers())
    assert verdict.faults == ()
    ada, sam, zoe = verdict.rows
    assert (ada.person, ada.clear, ada.looked, ada.named, ada.best) == ("Ada", 40, 40, 40, (0.6, 1.2))
    assert (sam.person, sam.enrolled, sam.clear, sam.found, sam.named) == ("Sam", False, 20, 20, 0)
    assert (zoe.person, zoe.enrolled, zoe.clear, zoe.seen) == ("Zoë", True, 0, [])
    assert verdict.outcomes == {RESULT: 45}


def test_the_order_of_answers_does_not_matter():
    assert check(TRUTH, right_answers()[::-1]).faults == ()


def test_a_few_frames_without_the_name_are_no_fault_and_many_are():
    assert check(TRUTH, changed(*range(6, 10), faces=[seen(LEFT)])).faults == ()
    (fault,) = check(TRUTH, changed(*range(6, 11), faces=[seen(LEFT)])).faults
    assert "Ada is named in 35 of 40" in fault


@pytest.mark.parametrize(
    "faces",
    [
        pytest.param([seen(LEFT, "Zoë")], id="another name"),
        pytest.param([seen(LEFT, "Ada"), seen(EMPTY, "Ada")], id="a name where nobody is"),
        pytest.param([seen(LEFT, "Ada"), seen(RIGHT, "Zoë")], id="a name for a stranger"),
        pytest.param([seen(RIGHT, "Ada"), seen(LEFT)], id="the right name at the wrong place"),
    ],
)
def test_one_wrong_name_is_a_fault(faces):
    (fault,) = check(TRUTH, changed(40, faces=faces)).faults
    assert fault.startswith("wrong name: frame 40 names")


def test_a_name_in_an_empty_hall_is_a_fault():
    (fault,) = check(TRUTH, changed(2, faces=[seen(LEFT, "Ada")])).faults
    assert "where nobody is" in fault


def test_unnamed_faces_where_nobody_is_are_no_fault():
    assert check(TRUTH, changed(2, faces=[seen(LEFT), seen(EMPTY)])).faults == ()


def test_a_stranger_who_is_not_even_found_is_a_fault():
    (fault,) = check(TRUTH, changed(*range(26, 46), faces=[seen(LEFT, "Ada")])).faults
    assert "Sam is found in 0 of 20" in fault


def test_a_frame_without_an_answer_is_a_fault():
    (fault,) = check(TRUTH, right_answers()[:-1]).faults
    assert fault == "1 of 45 frames were not answered, the first is 45"


def test_no_answer_at_all_is_a_fault():
    faults = check(TRUTH, []).faults
    assert faults[0] == "45 of 45 frames were not answered, the first is 1"
    assert any(fault.startswith("Ada: 0 of 40 clear frames") for fault in faults)


def test_a_frame_with_two_answers_is_a_fault():
    (fault,) = check(TRUTH, [*right_answers(), right_answers()[7]]).faults
    assert "answered more than once, the first is 8" in fault


@pytest.mark.parametrize("number", [0, 46])
def test_an_answer_to_a_frame_that_is_not_in_the_video_is_a_fault(number):
    (fault,) = check(TRUTH, [*right_answers(), Answer(number, RESULT, ())]).faults
    assert "that the video doesn't have" in fault


@pytest.mark.parametrize("outcome", ["error", "lost"])
def test_a_frame_that_failed_is_a_fault(outcome):
    (fault,) = check(TRUTH, changed(7, outcome=outcome)).faults
    assert fault == f"frame that failed: frame 7: {outcome}"


def test_dropped_frames_are_answers_and_do_not_count_against_anybody():
    verdict = check(TRUTH, changed(*range(6, 46, 2), outcome=DROPPED))
    assert verdict.faults == ()
    assert (verdict.rows[0].looked, verdict.rows[0].named) == (20, 20)
    assert verdict.outcomes == {RESULT: 25, DROPPED: 20}


def test_when_nearly_all_frames_are_dropped_nothing_is_proven():
    faults = check(TRUTH, changed(*range(6, 37), outcome=DROPPED)).faults
    assert any("--every-frame" in fault for fault in faults)


def test_long_lists_of_faults_are_cut():
    faults = check(TRUTH, changed(*range(26, 46), faces=[seen(LEFT, "Ada"), seen(RIGHT, "Zoë")])).faults
    assert len(faults) == 4
    assert faults[-1] == "wrong name: 17 more"


def test_with_two_overlapping_people_each_face_goes_to_the_one_it_fits():
    other = Presence("Sam", LEFT.moved(35, 0), 1.0, 1.0, 1.0)
    truth = Truth(10, ("Ada",), ((ADA, other),) * 10)
    answers = [
        Answer(number, RESULT, (SeenFace(LEFT, "Ada", 0.6, 1.2), SeenFace(other.box, "", 1.6, 1.2)))
        for number in range(1, 11)
    ]
    verdict = check(truth, answers)
    assert verdict.faults == ()
    assert [row.named for row in verdict.rows] == [10, 0]


@pytest.mark.parametrize(("visible", "wrong"), [(1.0, True), (0.6, False)])
def test_a_clear_face_with_the_name_of_somebody_close_by_is_a_fault_and_one_half_hidden_is_not(visible, wrong):
    other = Presence("Sam", LEFT.moved(35, 0), visible, 1.0, 1.0)
    truth = Truth(10, ("Ada",), ((ADA, other),) * 10)
    faces = (SeenFace(LEFT, "Ada", 0.6, 1.2), SeenFace(other.box, "Ada", 0.9, 1.2))
    faults = check(truth, [Answer(number, RESULT, faces) for number in range(1, 11)]).faults
    assert any("names Ada where Sam is" in fault for fault in faults) == wrong


@pytest.mark.parametrize(
    "presence",
    [
        replace(ADA, box=Box(0, 0, 50, 79)),
        replace(ADA, visible=0.9),
        replace(ADA, blur_px=3.5),
        replace(ADA, brightness=0.5),
        replace(ADA, brightness=1.6),
    ],
)
def test_small_hidden_blurred_and_badly_lit_faces_are_not_clear(presence):
    assert is_clear(ADA)
    assert not is_clear(presence)


def test_spans_end_where_a_person_is_gone_for_more_than_a_second():
    assert spans([], 10) == []
    assert spans([11, 12, 22, 40, 41], 10) == [(1.0, 2.1), (3.9, 4.0)]
