"""Messages to values and back; nothing else converts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from facestream.v1 import face_pb2, gallery_pb2, image_pb2, recognition_pb2, server_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from server.domain import (
    Answer,
    Codec,
    EncodedImage,
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
from server.inference.choose import Trial
from server.pipeline.enrol import JudgedPhoto, Refusal
from server.pipeline.flow import Advice
from server.pipeline.load import LoadedModel
from server.pipeline.recognise import Recognition
from server.pipeline.slot import DropReason
from server.pipeline.vision import Analysis

_CODECS: Mapping[image_pb2.ImageCodec.ValueType, Codec] = {
    image_pb2.IMAGE_CODEC_UNSPECIFIED: Codec.UNSPECIFIED,
    image_pb2.IMAGE_CODEC_JPEG: Codec.JPEG,
    image_pb2.IMAGE_CODEC_PNG: Codec.PNG,
    image_pb2.IMAGE_CODEC_BGR24: Codec.BGR24,
    image_pb2.IMAGE_CODEC_H264: Codec.H264,
    image_pb2.IMAGE_CODEC_HEVC: Codec.HEVC,
}
_UNKNOWN: Mapping[UnknownReason, face_pb2.UnknownReason.ValueType] = {
    UnknownReason.GALLERY_EMPTY: face_pb2.UNKNOWN_REASON_GALLERY_EMPTY,
    UnknownReason.TOO_FAR: face_pb2.UNKNOWN_REASON_TOO_FAR,
    UnknownReason.AMBIGUOUS: face_pb2.UNKNOWN_REASON_AMBIGUOUS,
}
_UNDECIDED: Mapping[UndecidedReason, face_pb2.UndecidedReason.ValueType] = {
    UndecidedReason.LOW_QUALITY: face_pb2.UNDECIDED_REASON_LOW_QUALITY,
    UndecidedReason.MORE_FRAMES_NEEDED: face_pb2.UNDECIDED_REASON_MORE_FRAMES_NEEDED,
}
_DROPS: Mapping[DropReason, recognition_pb2.DropReason.ValueType] = {
    DropReason.SUPERSEDED: recognition_pb2.DROP_REASON_SUPERSEDED,
    DropReason.TOO_OLD: recognition_pb2.DROP_REASON_TOO_OLD,
}
_MAX_FAR = 0.1
_MAX_DURATION_S = 60
_LAST_SECOND = 2**63 // 10**9 - 1
"""Times are kept as nanoseconds in 63 bits."""


def image_from(message: image_pb2.Image, *, in_stream: bool = False) -> EncodedImage:
    """The image of a message; its bytes are not looked at.

    Args:
        message: from a client.
        in_stream: True when it is a frame of a stream, where packets of video are welcome.

    Raises:
        ImageError: a codec that this server doesn't know, or a video codec outside a stream.
    """
    codec = _CODECS.get(message.codec)
    if codec is None:
        raise ImageError(
            "CODEC_UNSUPPORTED",
            f"codec {message.codec} is not one that this server reads; send JPEG, PNG or BGR24, or in a stream H264 "
            "or HEVC",
            field="image.codec",
        )
    if codec.is_video and not in_stream:
        raise ImageError(
            "CODEC_UNSUPPORTED",
            f"a packet of {codec.name} needs a stream, because it means nothing without those before it: send it with "
            "StreamRecognize, or send the picture as JPEG, PNG or BGR24",
            field="image.codec",
        )
    return EncodedImage(codec, message.data, message.width, message.height)


def far_from(value: float, default: float) -> float:
    """A requested false accept rate; 0 is the default.

    Raises:
        InvalidInputError: outside (0, 0.1].
    """
    if value == 0:
        return default
    if not 0 < value <= _MAX_FAR:
        raise InvalidInputError(
            "TARGET_FAR_INVALID",
            f"target_far is {value:g}; write more than 0 and at most {_MAX_FAR}, or 0 for the server's {default:g}",
            field="target_far",
        )
    return value


def age_ns_from(config: recognition_pb2.StreamConfig, default_ns: int) -> int:
    """The age limit of a stream in nanoseconds.

    Raises:
        InvalidInputError: outside (0, 60 s].
    """
    if not config.HasField("max_frame_age"):
        return default_ns
    age = config.max_frame_age
    age_ns = age.seconds * 10**9 + age.nanos
    if not 0 < age_ns <= _MAX_DURATION_S * 10**9:
        raise InvalidInputError(
            "MAX_FRAME_AGE_INVALID",
            f"max_frame_age is {age_ns / 1e9:g} s; write more than 0 and at most {_MAX_DURATION_S} s",
            field="config.max_frame_age",
        )
    return age_ns


def time_ns_from(moment: Timestamp, field: str) -> int:
    """A time of a client in nanoseconds since the epoch.

    Args:
        moment: as the client sent it; its fields may hold anything.
        field: of the request.

    Raises:
        InvalidInputError: TIME_INVALID, when it is no time in 1970..2262.
    """
    if not 0 <= moment.seconds < _LAST_SECOND or not 0 <= moment.nanos < 10**9:
        raise InvalidInputError(
            "TIME_INVALID",
            f"{field} is {moment.seconds} s and {moment.nanos} ns; write a time in 1970..2262",
            field=field,
        )
    return moment.seconds * 10**9 + moment.nanos


def timestamp(at_ns: int) -> Timestamp:
    """Nanoseconds since the epoch as a message."""
    return Timestamp(seconds=at_ns // 10**9, nanos=at_ns % 10**9)


def duration(spent_ns: int) -> Duration:
    """Nanoseconds as a message."""
    return Duration(seconds=spent_ns // 10**9, nanos=spent_ns % 10**9)


def quality_message(quality: Quality) -> face_pb2.Quality:
    """A quality as a message."""
    return face_pb2.Quality(
        score=quality.score,
        size_pixels=quality.size_px,
        sharpness=quality.sharpness,
        yaw_degrees=quality.yaw_deg,
        pitch_degrees=quality.pitch_deg,
        roll_degrees=quality.roll_deg,
        brightness=quality.brightness,
    )


def face_message(faces: Faces, i: int, quality: Quality, answer: Answer | None = None) -> face_pb2.Face:
    """Face number i as a message, with or without an answer."""
    left, top, right, bottom = faces.boxes[i].tolist()
    points = [face_pb2.Point(x=x, y=y) for x, y in faces.landmarks[i].tolist()]
    face = face_pb2.Face(
        box=face_pb2.BoundingBox(left=left, top=top, width=right - left, height=bottom - top),
        landmarks=face_pb2.Landmarks(
            left_eye=points[0], right_eye=points[1], nose=points[2], mouth_left=points[3], mouth_right=points[4]
        ),
        detection_score=float(faces.scores[i]),
        quality=quality_message(quality),
    )
    if answer is not None:
        _set_answer(face, answer)
    return face


def _set_answer(face: face_pb2.Face, answer: Answer) -> None:
    if isinstance(answer, Match):
        face.match.CopyFrom(
            face_pb2.IdentityMatch(
                identity=answer.identity,
                display_name=answer.display_name,
                distance=answer.distance,
                threshold=answer.threshold,
                margin=answer.margin,
                confidence=answer.confidence,
                provisional=answer.provisional,
            )
        )
    elif isinstance(answer, Unknown):
        face.unknown.CopyFrom(
            face_pb2.UnknownPerson(
                unknown=answer.group,
                reason=_UNKNOWN[answer.reason],
                distance=answer.distance,
                threshold=answer.threshold,
            )
        )
    elif isinstance(answer, Undecided):
        face.undecided.reason = _UNDECIDED[answer.reason]


def analysed_faces(analysis: Analysis) -> list[face_pb2.Face]:
    """The faces of an analysis, without answers."""
    return [face_message(analysis.faces, i, quality) for i, quality in enumerate(analysis.qualities)]


def result_message(recognition: Recognition, *, queue_ns: int, total_ns: int) -> recognition_pb2.FrameResult:
    """A recognition as a message.

    Args:
        recognition: the answer.
        queue_ns: how long the image waited, nanoseconds.
        total_ns: from the image's arrival to its answer, nanoseconds.
    """
    stages = {stage: duration(spent) for stage, spent in recognition.spent_ns.items()}
    faces = []
    for i, face in enumerate(recognition.recognised):
        message = face_message(recognition.faces, i, face.quality, face.answer)
        message.track = face.track
        faces.append(message)
    return recognition_pb2.FrameResult(
        faces=faces,
        width=recognition.width,
        height=recognition.height,
        timing=recognition_pb2.FrameTiming(queue=duration(queue_ns), total=duration(total_ns), **stages),
        gallery_revision=recognition.gallery_revision,
    )


def advice_message(advice: Advice) -> recognition_pb2.FlowAdvice:
    """Advice as a message."""
    return recognition_pb2.FlowAdvice(
        credits=advice.credits,
        frames_per_second=advice.frames_per_second,
        longest_side=advice.longest_side,
        jpeg_quality=advice.jpeg_quality,
    )


def dropped_message(reason: DropReason) -> recognition_pb2.FrameDropped:
    """A drop as a message."""
    return recognition_pb2.FrameDropped(reason=_DROPS[reason])


def identity_message(identity: Identity) -> gallery_pb2.Identity:
    """An identity as a message."""
    return gallery_pb2.Identity(
        name=identity.name,
        display_name=identity.display_name,
        template_count=identity.template_count,
        create_time=timestamp(identity.created_at_ns),
        update_time=timestamp(identity.updated_at_ns),
    )


def template_message(template: Template) -> gallery_pb2.Template:
    """A template as a message."""
    return gallery_pb2.Template(
        id=template.template_id,
        source=template.source,
        quality=quality_message(template.quality),
        create_time=timestamp(template.created_at_ns),
    )


def outcome_messages(photos: Sequence[JudgedPhoto]) -> list[gallery_pb2.PhotoOutcome]:
    """What became of photographs, as messages."""
    return [
        gallery_pb2.PhotoOutcome(
            source=photo.source,
            accepted=photo.refusal is None,
            refusal=refusal_code(photo.refusal),
            message=photo.message,
            quality=quality_message(photo.quality) if photo.quality else None,
        )
        for photo in photos
    ]


def refusal_code(refusal: Refusal | None) -> gallery_pb2.PhotoRefusal.ValueType:
    """The enum value of a refusal: the names are the same on both sides."""
    name = "UNSPECIFIED" if refusal is None else refusal.name
    return gallery_pb2.PhotoRefusal.Value(f"PHOTO_REFUSAL_{name}")


def model_message(model: LoadedModel) -> server_pb2.ModelInfo:
    """A model, what runs it, and why."""
    trials = model.decision.trials if model.decision is not None else ()
    return server_pb2.ModelInfo(
        kind=model.role.value,
        model=model.manifest.model,
        sha256=model.manifest.sha256,
        licence=model.manifest.licence,
        backend=model.backend.name,
        backend_reason=model.why,
        runtimes=[_trial_message(trial) for trial in trials],
    )


def _trial_message(trial: Trial) -> server_pb2.RuntimeTrial:
    return server_pb2.RuntimeTrial(
        runtime=trial.runtime.value,
        passed=trial.verdict.passed,
        finding=trial.verdict.finding,
        cpu_ms=trial.cost_ms if trial.costs_ms else 0.0,
    )
