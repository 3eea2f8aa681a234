"""What a stream answers, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from facestream.v1 import recognition_pb2

from clients.frames import Dropped, DropReason, Failed, Recognition, Side
from clients.rpc import error_of_status
from clients.wire.faces import read_recognition
from clients.wire.leaves import named, seconds


@dataclass(frozen=True, slots=True)
class Ready:
    """The stream is open.

    Attributes:
        session: id, also in the server's log.
        gallery: that faces are matched against.
        target_far: in force.
        max_frame_age_s: in force.
    """

    session: str
    gallery: str
    target_far: float
    max_frame_age_s: float


@dataclass(frozen=True, slots=True)
class Draining:
    """The server is about to end the stream, and answers what it holds for `grace_s` seconds."""

    grace_s: float


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of the frame with this sequence number."""

    sequence: int
    outcome: Recognition | Dropped | Failed


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message of a newer server that this client doesn't know."""


StreamMessage: TypeAlias = Ready | Draining | Said | Unreadable


def read_stream_message(message: recognition_pb2.StreamRecognizeResponse) -> StreamMessage:
    """A message of a stream as a value."""
    match message.WhichOneof("message"):
        case "ready":
            ready = message.ready
            return Ready(ready.session, ready.gallery, ready.target_far, seconds(ready.max_frame_age))
        case "drain":
            return Draining(seconds(message.drain.grace))
        case "result":
            return Said(message.sequence, read_recognition(message.result))
        case "dropped":
            reason = named(recognition_pb2.DropReason, message.dropped.reason, DropReason)
            return Said(message.sequence, Dropped(Side.SERVER, reason))
        case "error":
            error = error_of_status(message.error)
            return Said(message.sequence, Failed(Side.SERVER, error.cause.reason or error.cause.code, error.message))
        case _:
            return Unreadable()
