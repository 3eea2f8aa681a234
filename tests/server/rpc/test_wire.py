"""Messages and values say the same thing, field by field."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from facestream.v1 import face_pb2, gallery_pb2, image_pb2, recognition_pb2
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from server.domain import (
    Codec,
    Faces,
    Match,
    Quality,
    Undecided,
    UndecidedReason,
    Unknown,
    UnknownReason,
)
from server.errors import ImageError, InvalidInputError
from server.identity.records import Identity, Template
from server.pipeline.enrol import JudgedPhoto, Refusal
from server.pipeline.recognise import RecognisedFace, Recognition
from server.pipeline.slot import DropReason
from server.rpc import wire

QUALITY = Quality(
    score=0.5, size_px=80, sharpness=12, yaw_deg=-10, pitch_deg=5, roll_deg=2, brightness=99, detection_score=0.875
)
FACES = Faces(
    np.asarray([[10, 20, 110, 140], [1, 2, 3, 4]], np.float32),
    np.arange(20, dtype=np.float32).reshape(2, 5, 2),
    np.asarray([0.875, 0.25], np.float32),
)


# ---- in


@pytest.mark.parametrize("codec", Codec, ids=lambda codec: codec.name)
def test_every_codec_is_read_by_its_name(codec):
    number = image_pb2.ImageCodec.Value(f"IMAGE_CODEC_{codec.name}")
    image = wire.image_from(image_pb2.Image(codec=number, data=b"x", width=4, height=3), in_stream=True)
    assert (image.codec, image.data, image.width, image.height) == (codec, b"x", 4, 3)


def test_the_codecs_of_the_api_are_those_of_the_server():
    assert {name.removeprefix("IMAGE_CODEC_") for name in image_pb2.ImageCodec.keys()} == {c.name for c in Codec}  # noqa: SIM118


@pytest.mark.parametrize("codec", [image_pb2.IMAGE_CODEC_H264, image_pb2.IMAGE_CODEC_HEVC])
def test_a_packet_of_video_outside_a_stream_is_refused_with_the_way_in(codec):
    with pytest.raises(ImageError, match="StreamRecognize") as refused:
        wire.image_from(image_pb2.Image(codec=codec, data=b"x"))
    assert (refused.value.reason, refused.value.field) == ("CODEC_UNSUPPORTED", "image.codec")


def test_an_unknown_codec_is_refused_with_its_number():
    with pytest.raises(ImageError, match="42") as refused:
        wire.image_from(image_pb2.Image(codec=42))
    assert (refused.value.reason, refused.value.field) == ("CODEC_UNSUPPORTED", "image.codec")


@pytest.mark.parametrize(("value", "far"), [(0, 0.001), (0.1, 0.1), (1e-12, 1e-12)])
def test_a_rate_in_range_is_taken_and_0_is_the_default(value, far):
    assert wire.far_from(value, 0.001) == far


@pytest.mark.parametrize("value", [-1e-9, 0.1000001, 1, float("inf"), float("nan")])
def test_a_rate_out_of_range_is_refused(value):
    with pytest.raises(InvalidInputError) as refused:
        wire.far_from(value, 0.001)
    assert refused.value.reason == "TARGET_FAR_INVALID"


@pytest.mark.parametrize(
    ("age", "expected"),
    [(Duration(nanos=1), 1), (Duration(seconds=60), 60 * 10**9), (Duration(seconds=1, nanos=5), 10**9 + 5)],
)
def test_an_age_limit_in_range_is_taken(age, expected):
    assert wire.age_ns_from(recognition_pb2.StreamConfig(max_frame_age=age), 7) == expected


def test_without_an_age_limit_the_default_counts():
    assert wire.age_ns_from(recognition_pb2.StreamConfig(), 7) == 7


@pytest.mark.parametrize(
    "age", [Duration(), Duration(seconds=-1), Duration(seconds=60, nanos=1), Duration(seconds=2**60)]
)
def test_an_age_limit_out_of_range_is_refused(age):
    with pytest.raises(InvalidInputError) as refused:
        wire.age_ns_from(recognition_pb2.StreamConfig(max_frame_age=age), 7)
    assert refused.value.reason == "MAX_FRAME_AGE_INVALID"


# ---- out


@given(st.integers(0, 2**62))
def test_times_are_exact_to_the_nanosecond(nanoseconds):
    for message in (wire.timestamp(nanoseconds), wire.duration(nanoseconds)):
        assert message.seconds * 10**9 + message.nanos == nanoseconds
        assert 0 <= message.nanos < 10**9


def test_a_face_has_its_box_as_left_top_width_height_and_its_landmarks_by_name():
    face = wire.face_message(FACES, 0, QUALITY)
    assert face.box == face_pb2.BoundingBox(left=10, top=20, width=100, height=120)
    points = (face.landmarks.left_eye, face.landmarks.right_eye, face.landmarks.nose, face.landmarks.mouth_left)
    assert [(point.x, point.y) for point in points] == [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert (face.landmarks.mouth_right.x, face.landmarks.mouth_right.y) == (8, 9)
    assert face.detection_score == 0.875
    assert face.WhichOneof("answer") is None
    assert wire.face_message(FACES, 1, QUALITY).box.width == 2


def test_a_quality_keeps_every_number():
    assert wire.quality_message(QUALITY) == face_pb2.Quality(
        score=0.5, size_pixels=80, sharpness=12, yaw_degrees=-10, pitch_degrees=5, roll_degrees=2, brightness=99
    )


def test_light_and_sharpness_that_nobody_measured_are_not_told():
    glance = wire.quality_message(replace(QUALITY, sharpness=None, brightness=None))
    assert not glance.HasField("sharpness")
    assert not glance.HasField("brightness")
    assert wire.quality_message(replace(QUALITY, sharpness=0.0, brightness=0.0)).HasField("brightness")


def answered(answer):
    return wire.face_message(FACES, 0, QUALITY, answer)


def test_a_match_says_who_how_near_and_what_had_to_be_beaten():
    match = answered(Match("tenants/default/galleries/g/identities/i", "Ada", 0.5, 1.0, 0.25)).match
    assert (match.identity, match.display_name) == ("tenants/default/galleries/g/identities/i", "Ada")
    assert (match.distance, match.threshold, match.margin) == (0.5, 1.0, 0.25)
    assert not match.HasField("confidence")


def test_a_confidence_goes_beside_the_distance():
    match = answered(Match("i", "Ada", 0.5, 1.0, None, confidence=0.75)).match
    assert match.confidence == 0.75


def test_without_a_second_person_there_is_no_margin():
    assert not answered(Match("i", "Ada", 0.5, 1.0, None)).match.HasField("margin")
    assert answered(Match("i", "Ada", 0.5, 1.0, 0.0)).match.HasField("margin")


@pytest.mark.parametrize("reason", UnknownReason, ids=lambda reason: reason.name)
def test_every_reason_to_be_unknown_has_its_name_on_the_wire(reason):
    unknown = answered(Unknown(reason, 1.5, 1.0)).unknown
    assert face_pb2.UnknownReason.Name(unknown.reason) == f"UNKNOWN_REASON_{reason.name}"
    assert (unknown.distance, unknown.threshold) == (1.5, 1.0)


def test_in_an_empty_gallery_there_is_no_distance():
    assert not answered(Unknown(UnknownReason.GALLERY_EMPTY, None, 1.0)).unknown.HasField("distance")


@pytest.mark.parametrize("reason", UndecidedReason, ids=lambda reason: reason.name)
def test_every_reason_to_be_undecided_has_its_name_on_the_wire(reason):
    undecided = answered(Undecided(reason)).undecided
    assert face_pb2.UndecidedReason.Name(undecided.reason) == f"UNDECIDED_REASON_{reason.name}"


@pytest.mark.parametrize("reason", DropReason, ids=lambda reason: reason.name)
def test_every_reason_to_drop_has_its_name_on_the_wire(reason):
    dropped = wire.dropped_message(reason)
    assert recognition_pb2.DropReason.Name(dropped.reason) == f"DROP_REASON_{reason.name}"


@pytest.mark.parametrize("refusal", [*Refusal, None], ids=lambda refusal: getattr(refusal, "name", "none"))
def test_every_refusal_has_its_name_on_the_wire(refusal):
    name = gallery_pb2.PhotoRefusal.Name(wire.refusal_code(refusal))
    assert name == f"PHOTO_REFUSAL_{refusal.name if refusal else 'UNSPECIFIED'}"


def test_a_result_has_the_faces_in_order_the_size_the_revision_and_every_stage():
    spent = {"decode": 1, "detect": 2, "align": 3, "embed": 4, "match": 5}
    recognised = (
        RecognisedFace(QUALITY, Match("i", "Ada", 0.5, 1.0, None)),
        RecognisedFace(QUALITY, Undecided(UndecidedReason.LOW_QUALITY)),
    )
    result = wire.result_message(Recognition(640, 360, FACES, recognised, 9, spent, {}), queue_ns=6, total_ns=10**9 + 7)
    assert [face.WhichOneof("answer") for face in result.faces] == ["match", "undecided"]
    assert (result.width, result.height, result.gallery_revision) == (640, 360, 9)
    nanos = {stage: getattr(result.timing, stage).nanos for stage in (*spent, "queue")}
    assert nanos == {**spent, "queue": 6}
    assert (result.timing.total.seconds, result.timing.total.nanos) == (1, 7)


def test_a_person_and_a_template_keep_every_field():
    person = wire.identity_message(Identity("n", "Ada", 3, 10**9 + 1, 2 * 10**9 + 2))
    assert (person.name, person.display_name, person.template_count) == ("n", "Ada", 3)
    assert (person.create_time.nanos, person.update_time.seconds) == (1, 2)
    template = wire.template_message(Template("17", "a.jpg", QUALITY, "digest", 3 * 10**9))
    assert (template.id, template.source, template.create_time.seconds) == ("17", "a.jpg", 3)
    assert template.quality == wire.quality_message(QUALITY)


def test_outcomes_say_what_became_of_each_photograph():
    photos = (
        JudgedPhoto("a", QUALITY, None, "", None),
        JudgedPhoto("b", None, Refusal.NO_FACE, "no face was found", None),
    )
    good, bad = wire.outcome_messages(photos)
    assert (good.source, good.accepted, good.HasField("quality")) == ("a", True, True)
    assert (bad.source, bad.accepted, bad.HasField("quality")) == ("b", False, False)
    assert (bad.refusal, bad.message) == (gallery_pb2.PHOTO_REFUSAL_NO_FACE, "no face was found")
