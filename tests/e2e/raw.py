"""The API without the client library: bare stubs, for messages that the library would never send."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import grpc
import pytest
from facestream.v1 import (
    gallery_pb2,
    gallery_pb2_grpc,
    image_pb2,
    recognition_pb2,
    recognition_pb2_grpc,
    server_pb2_grpc,
)
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2_grpc
from grpc_status import rpc_status

JPEG = image_pb2.IMAGE_CODEC_JPEG
DEADLINE_S = 60
"""Of every call: so that a test fails instead of hanging, never because a machine is busy."""

_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
)


@dataclass(slots=True)
class Stubs:
    """All services of one server over one channel."""

    channel: grpc.Channel
    recognition: Any = field(init=False)
    gallery: Any = field(init=False)
    server: Any = field(init=False)
    health: Any = field(init=False)

    def __post_init__(self) -> None:
        self.recognition = recognition_pb2_grpc.RecognitionServiceStub(self.channel)
        self.gallery = gallery_pb2_grpc.GalleryServiceStub(self.channel)
        self.server = server_pb2_grpc.ServerServiceStub(self.channel)
        self.health = health_pb2_grpc.HealthStub(self.channel)


@contextmanager
def connected(address: str) -> Iterator[Stubs]:
    """Stubs of the server at HOST:PORT."""
    with grpc.insecure_channel(address, options=_OPTIONS) as channel:
        yield Stubs(channel)


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a call was refused: gRPC code, ErrorInfo reason, message, ErrorInfo metadata."""

    code: str
    reason: str
    message: str
    metadata: dict[str, str]


def refusal_of(call: Callable[[], object]) -> Refusal:
    """How the server refuses a call, which it must."""
    with pytest.raises(grpc.RpcError) as raised:
        call()
    status = rpc_status.from_call(raised.value)
    if status is None:
        return Refusal(raised.value.code().name, "", raised.value.details(), {})
    return refusal_in(status)


def refusal_in(status: status_pb2.Status) -> Refusal:
    """The refusal that a status speaks of."""
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "facestream"
    code = next(code.name for code in grpc.StatusCode if code.value[0] == status.code)
    return Refusal(code, info.reason, status.message, dict(info.metadata))


# ---- messages


def picture(data: bytes, **fields: int) -> image_pb2.Image:
    """An image message; the server finds out the codec unless one is given."""
    return image_pb2.Image(data=data, **fields)


def config(camera: str = "door", **fields: Any) -> recognition_pb2.StreamRecognizeRequest:
    """Opens a stream."""
    return recognition_pb2.StreamRecognizeRequest(config=recognition_pb2.StreamConfig(camera=camera, **fields))


def frame(sequence: int, image: image_pb2.Image) -> recognition_pb2.StreamRecognizeRequest:
    """One frame."""
    return recognition_pb2.StreamRecognizeRequest(frame=recognition_pb2.CameraFrame(sequence=sequence, image=image))


def enrolment(name: str, *photos: bytes, **fields: Any) -> gallery_pb2.EnrolIdentityRequest:
    """Enrols a new person."""
    messages = [gallery_pb2.EnrolmentPhoto(image=picture(data), source=f"{i}") for i, data in enumerate(photos)]
    return gallery_pb2.EnrolIdentityRequest(display_name=name, photos=messages, **fields)


def names_in(result: recognition_pb2.FrameResult) -> set[str]:
    """Who is named in a frame."""
    return {face.match.display_name for face in result.faces if face.WhichOneof("answer") == "match"}


class Answers:
    """What a stream answers, without advice, which may come at any time."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self.cancel, self.code = call.cancel, call.code

    def __iter__(self) -> Iterator[recognition_pb2.StreamRecognizeResponse]:
        return self

    def __next__(self) -> recognition_pb2.StreamRecognizeResponse:
        while (answer := next(self._call)).WhichOneof("message") == "advice":
            pass
        return answer


class RawStream:
    """A camera's stream, message by message."""

    def __init__(self, stubs: Stubs, *first: recognition_pb2.StreamRecognizeRequest) -> None:
        self._requests: SimpleQueue[recognition_pb2.StreamRecognizeRequest | None] = SimpleQueue()
        self.send(*first)
        self.answers = Answers(stubs.recognition.StreamRecognize(iter(self._requests.get, None), timeout=DEADLINE_S))

    def send(self, *messages: recognition_pb2.StreamRecognizeRequest) -> None:
        """Puts messages on their way."""
        for message in messages:
            self._requests.put(message)

    def finish(self) -> list[recognition_pb2.StreamRecognizeResponse]:
        """Says that no more frames come; the answers that are left."""
        self._requests.put(None)
        return list(self.answers)

    def ask(self, sequence: int, image: image_pb2.Image) -> recognition_pb2.StreamRecognizeResponse:
        """Sends a frame and waits for its answer."""
        self.send(frame(sequence, image))
        answer = next(self.answers)
        assert answer.sequence == sequence
        return answer


@contextmanager
def streaming(stubs: Stubs, camera: str = "door", **fields: Any) -> Iterator[RawStream]:
    """A stream that is ready, and ended in order afterwards."""
    stream = RawStream(stubs, config(camera, **fields))
    assert next(stream.answers).WhichOneof("message") == "ready"
    yield stream
    stream.finish()
