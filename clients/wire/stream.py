"""What a stream answers, as values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from facestream.v1 import recognition_pb2

from clients.advice import Advice
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


StreamMessage: TypeAlias = Ready | Draining | Advice | Said | Unreadable


def read_stream_message(message: recognition_pb2.StreamRecognizeResponse) -> StreamMessage:
    """A message of a stream as a value."""
    match message.WhichOneof("message"):
        case "ready":
            ready = message.ready
            return Ready(ready.session, ready.gallery, ready.target_far, seconds(ready.max_frame_age))
        case "drain":
            return Draining(seconds(message.drain.grace))
        case "advice":
            return _advice(message.advice)
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


def _advice(advice: recognition_pb2.FlowAdvice) -> Advice:
    """Advice with what cannot be followed left out: a rate or size of nothing, no frames at all."""
    rate, side, quality = advice.frames_per_second, advice.longest_side, advice.jpeg_quality
    return Advice(
        credits=max(1, advice.credits),
        frames_per_second=rate if advice.HasField("frames_per_second") and 0 < rate < math.inf else None,
        longest_side=side if advice.HasField("longest_side") and side > 0 else None,
        jpeg_quality=quality if advice.HasField("jpeg_quality") and 1 <= quality <= 100 else None,
    )
