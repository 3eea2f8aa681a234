from __future__ import annotations

import pytest
from facestream.v1 import recognition_pb2
from google.protobuf.any_pb2 import Any as PackedDetail
from google.rpc import error_details_pb2

from clients.advice import Advice
from clients.fake.script import matching, stranger, unsure
from clients.frames import Dropped, DropReason, Failed, Recognition, Side
from clients.wire.stream import Draining, Ready, Said, Unreadable, read_stream_message

Response = recognition_pb2.StreamRecognizeResponse


def test_ready_is_read() -> None:
    ready = recognition_pb2.StreamReady(session="s", gallery="g", target_far=0.001)
    ready.max_frame_age.FromMilliseconds(1500)
    assert read_stream_message(Response(ready=ready)) == Ready("s", "g", 0.001, 1.5)


@pytest.mark.parametrize(
    ("fields", "advice"),
    [
        ({"credits": 3}, Advice(3)),
        (
            {"credits": 1, "frames_per_second": 7.5, "longest_side": 1280, "jpeg_quality": 80},
            Advice(1, 7.5, 1280, 80),
        ),
        ({"credits": 0, "frames_per_second": 0, "longest_side": -1, "jpeg_quality": 0}, Advice(1)),
        ({"credits": 1, "frames_per_second": float("inf"), "jpeg_quality": 101}, Advice(1)),
        ({"credits": 1, "frames_per_second": float("nan")}, Advice(1)),
    ],
)
def test_advice_is_read_and_what_cannot_be_followed_is_left_out(fields: dict[str, float], advice: Advice) -> None:
    assert read_stream_message(Response(advice=recognition_pb2.FlowAdvice(**fields))) == advice


def test_drain_is_read() -> None:
    drain = recognition_pb2.Drain()
    drain.grace.FromSeconds(10)
    assert read_stream_message(Response(drain=drain)) == Draining(10)


def test_a_result_is_read_with_its_timing() -> None:
    result = recognition_pb2.FrameResult(
        faces=[matching("Ada"), stranger(), unsure()], width=320, height=240, gallery_revision=7
    )
    for i, stage in enumerate((field.name for field in recognition_pb2.FrameTiming.DESCRIPTOR.fields), start=1):
        getattr(result.timing, stage).FromMilliseconds(i)
    said = read_stream_message(Response(sequence=4, result=result))
    assert isinstance(said, Said)
    assert said.sequence == 4
    recognition = said.outcome
    assert isinstance(recognition, Recognition)
    assert (recognition.width, recognition.height, recognition.gallery_revision) == (320, 240, 7)
    assert {name: getattr(recognition.timing, name) for name in recognition.timing.__slots__} == {
        f"{field.name}_ns": n * 10**6 for n, field in enumerate(recognition_pb2.FrameTiming.DESCRIPTOR.fields, start=1)
    }
    assert len(recognition.faces) == 3


@pytest.mark.parametrize("number", range(len(recognition_pb2.DropReason.DESCRIPTOR.values)))
def test_every_reason_to_drop_is_known(number: int) -> None:
    name = recognition_pb2.DropReason.Name(number).removeprefix("DROP_REASON_")
    said = read_stream_message(Response(sequence=1, dropped=recognition_pb2.FrameDropped(reason=number)))
    assert said == Said(1, Dropped(Side.SERVER, DropReason[name]))


def test_a_reason_from_the_future_is_unspecified() -> None:
    message = Response.FromString(
        Response(sequence=1, dropped=recognition_pb2.FrameDropped(reason=99)).SerializeToString()
    )
    assert read_stream_message(message) == Said(1, Dropped(Side.SERVER, DropReason.UNSPECIFIED))


def test_an_error_is_read_with_its_reason() -> None:
    response = Response(sequence=2)
    response.error.code, response.error.message = 3, "no picture"
    assert read_stream_message(response) == Said(2, Failed(Side.SERVER, "INVALID_ARGUMENT", "no picture"))
    detail = PackedDetail()
    detail.Pack(error_details_pb2.ErrorInfo(reason="IMAGE_DAMAGED"))
    response.error.details.append(detail)
    assert read_stream_message(response) == Said(2, Failed(Side.SERVER, "IMAGE_DAMAGED", "no picture"))


def test_a_message_from_the_future_is_unreadable_and_no_error() -> None:
    assert read_stream_message(Response.FromString(b"\xf8\x07\x01")) == Unreadable()
