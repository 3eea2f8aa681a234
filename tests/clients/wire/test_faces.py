from __future__ import annotations

from enum import StrEnum

import pytest
from facestream.v1 import face_pb2, gallery_pb2
from google.protobuf.descriptor import EnumDescriptor

from clients.faces import Match, Unanswered, Undecided, UndecidedReason, Unknown, UnknownReason
from clients.fake.script import found_face, matching, stranger, unsure
from clients.people import Refusal
from clients.wire.faces import read_face


def test_every_number_of_a_face_is_read() -> None:
    face = read_face(matching("Ada", distance=0.25, left=10, top=20, side=50))
    assert (face.box.left, face.box.top, face.box.width, face.box.height) == (10, 20, 50, 50)
    assert face.landmarks.left_eye == (25, 40)
    assert face.landmarks.mouth_right == pytest.approx((42.5, 60))
    assert face.detection_score == pytest.approx(0.9)
    assert (face.quality.score, face.quality.size_px) == (pytest.approx(0.8), 50)
    match = face.answer
    assert isinstance(match, Match)
    assert (match.display_name, match.distance) == ("Ada", 0.25)
    assert match.margin == pytest.approx(0.4)
    assert (match.confidence, match.provisional) == (None, False)


def test_an_absent_margin_is_none_and_a_margin_of_zero_is_zero() -> None:
    message = matching("Ada")
    message.match.margin = 0
    assert read_face(message).answer.margin == 0
    message.match.ClearField("margin")
    assert read_face(message).answer.margin is None


def test_light_and_sharpness_that_the_server_did_not_measure_are_none() -> None:
    message = found_face()
    quality = read_face(message).quality
    assert (quality.sharpness, quality.brightness) == (20, 120)
    message.quality.ClearField("sharpness")
    message.quality.ClearField("brightness")
    quality = read_face(message).quality
    assert (quality.sharpness, quality.brightness) == (None, None)


def test_strangers_and_doubts_are_read() -> None:
    assert read_face(stranger(distance=1.5)).answer == Unknown("", UnknownReason.TOO_FAR, 1.5, pytest.approx(1.1))
    message = stranger()
    message.unknown.ClearField("distance")
    message.unknown.reason = face_pb2.UNKNOWN_REASON_GALLERY_EMPTY
    assert read_face(message).answer == Unknown("", UnknownReason.GALLERY_EMPTY, None, pytest.approx(1.1))
    assert read_face(unsure()).answer == Undecided(UndecidedReason.LOW_QUALITY)


def test_a_face_without_an_answer_is_unanswered() -> None:
    assert read_face(found_face()).answer == Unanswered()


@pytest.mark.parametrize(
    ("wire", "ours"),
    [
        (face_pb2.UnknownReason.DESCRIPTOR, UnknownReason),
        (face_pb2.UndecidedReason.DESCRIPTOR, UndecidedReason),
        (gallery_pb2.PhotoRefusal.DESCRIPTOR, Refusal),
    ],
)
def test_every_reason_of_the_api_has_a_word(wire: EnumDescriptor, ours: type[StrEnum]) -> None:
    prefix = wire.values[0].name.removesuffix("UNSPECIFIED")
    assert {value.name.removeprefix(prefix) for value in wire.values} == set(ours.__members__)


def test_a_scaled_face_keeps_its_place_in_the_picture() -> None:
    face = read_face(matching("Ada", left=10, top=20, side=50)).scaled(2, 0.5)
    assert (face.box.left, face.box.top, face.box.width, face.box.height) == (20, 10, 100, 25)
    assert face.landmarks.left_eye == (50, 20)
    assert face.landmarks.nose == pytest.approx((70, 25))
