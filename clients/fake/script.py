"""What a fake server does with a frame, and faces for it to answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias
from zlib import crc32

import grpc
from facestream.v1 import face_pb2, recognition_pb2


@dataclass(frozen=True, slots=True)
class Say:
    """Answers with these faces, after a while."""

    faces: tuple[face_pb2.Face, ...] = ()
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Drop:
    """Answers that the frame was dropped."""

    reason: recognition_pb2.DropReason.ValueType = recognition_pb2.DROP_REASON_SUPERSEDED


@dataclass(frozen=True, slots=True)
class Fail:
    """Answers that the frame could not be worked on."""

    reason: str = "IMAGE_DAMAGED"
    message: str = "the picture is damaged"


@dataclass(frozen=True, slots=True)
class Ignore:
    """Never answers the frame."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Says nothing any more and reads nothing, as if the cable were cut."""


@dataclass(frozen=True, slots=True)
class DrainStream:
    """Says that it is about to stop, answers the frame, reads no further, and closes the stream."""

    faces: tuple[face_pb2.Face, ...] = ()
    drop: bool = False


@dataclass(frozen=True, slots=True)
class Close:
    """Closes the stream in order without answering the frame."""


@dataclass(frozen=True, slots=True)
class Abort:
    """Ends the stream with an error."""

    code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE
    message: str = "the server fell over"
    trailing: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Advise:
    """Says what it can take from now on, then answers with these faces."""

    advice: recognition_pb2.FlowAdvice
    faces: tuple[face_pb2.Face, ...] = ()


Step: TypeAlias = Say | Drop | Fail | Ignore | Hang | DrainStream | Close | Abort | Advise
Script: TypeAlias = Callable[[recognition_pb2.CameraFrame], Step]


def answer_nothing(frame: recognition_pb2.CameraFrame) -> Step:
    """The script that finds no face in any frame."""
    del frame
    return Say()


THRESHOLD = 1.1
"""The distance that the fake server's faces have to beat."""


def found_face(left: float = 40, top: float = 30, side: float = 60) -> face_pb2.Face:
    """A face without an answer."""
    points = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))
    left_eye, right_eye, nose, mouth_left, mouth_right = (
        face_pb2.Point(x=left + side * x, y=top + side * y) for x, y in points
    )
    return face_pb2.Face(
        box=face_pb2.BoundingBox(left=left, top=top, width=side, height=side),
        landmarks=face_pb2.Landmarks(
            left_eye=left_eye, right_eye=right_eye, nose=nose, mouth_left=mouth_left, mouth_right=mouth_right
        ),
        detection_score=0.9,
        quality=face_pb2.Quality(score=0.8, size_pixels=side, sharpness=20, brightness=120),
    )


def matching(name: str, *, distance: float = 0.5, left: float = 40, top: float = 30, side: float = 60) -> face_pb2.Face:
    """A face that the gallery knows."""
    face = found_face(left, top, side)
    face.match.CopyFrom(
        face_pb2.IdentityMatch(
            identity=f"tenants/default/galleries/default/identities/{crc32(name.encode()):08x}",
            display_name=name,
            distance=distance,
            threshold=THRESHOLD,
            margin=0.4,
        )
    )
    return face


def stranger(*, distance: float = 1.4, left: float = 40, top: float = 30, side: float = 60) -> face_pb2.Face:
    """A face that the gallery does not know."""
    face = found_face(left, top, side)
    face.unknown.CopyFrom(
        face_pb2.UnknownPerson(reason=face_pb2.UNKNOWN_REASON_TOO_FAR, distance=distance, threshold=THRESHOLD)
    )
    return face


def unsure(*, left: float = 40, top: float = 30, side: float = 60) -> face_pb2.Face:
    """A face about which the server does not decide."""
    face = found_face(left, top, side)
    face.undecided.CopyFrom(face_pb2.Undecided(reason=face_pb2.UNDECIDED_REASON_LOW_QUALITY))
    return face
