"""The conversions: requests from values, values from answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeAlias, TypeVar

from facestream.v1 import face_pb2, gallery_pb2, image_pb2, recognition_pb2, server_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from clients import faces, people
from clients.errors import RpcError
from clients.frames import Dropped, DropReason, Failed, Recognition, Side, Stamp, Timing
from clients.photos import Codec, Photo
from clients.rpc import error_of_status

_ReasonT = TypeVar("_ReasonT", bound=StrEnum)

_CODECS = {
    Codec.UNSPECIFIED: image_pb2.IMAGE_CODEC_UNSPECIFIED,
    Codec.JPEG: image_pb2.IMAGE_CODEC_JPEG,
    Codec.PNG: image_pb2.IMAGE_CODEC_PNG,
}


# ---- requests


StreamRequest: TypeAlias = recognition_pb2.StreamRecognizeRequest


def stream_config(*, camera: str, gallery: str, target_far: float, max_frame_age_s: float) -> StreamRequest:
    """The first message of a stream. 0 asks for the server's default FAR and age limit."""
    config = recognition_pb2.StreamConfig(camera=camera, gallery=gallery, target_far=target_far)
    if max_frame_age_s > 0:
        config.max_frame_age.FromNanoseconds(round(max_frame_age_s * 1e9))
    return StreamRequest(config=config)


def camera_frame(stamp: Stamp, jpeg: bytes) -> StreamRequest:
    """A frame of a stream."""
    captured_at = Timestamp()
    captured_at.FromNanoseconds(stamp.captured_at_ns)
    image = image_pb2.Image(codec=image_pb2.IMAGE_CODEC_JPEG, data=jpeg)
    return StreamRequest(
        frame=recognition_pb2.CameraFrame(sequence=stamp.sequence, captured_at=captured_at, image=image)
    )


def image(photo: Photo) -> image_pb2.Image:
    """A photograph as the server takes it."""
    return image_pb2.Image(codec=_CODECS[photo.codec], data=photo.data)


def enrol_request(
    photos: Sequence[Photo], who: people.Enrollee, *, request_id: str
) -> gallery_pb2.EnrolIdentityRequest:
    """Adds photographs to a person."""
    return gallery_pb2.EnrolIdentityRequest(
        gallery="" if who.identity else who.gallery,
        identity=who.identity,
        display_name="" if who.identity else who.display_name,
        allow_lookalikes=who.allow_lookalikes,
        photos=[gallery_pb2.EnrolmentPhoto(image=image(photo), source=photo.source) for photo in photos],
        request_id=request_id,
    )


# ---- what a stream answers


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
            return Ready(ready.session, ready.gallery, ready.target_far, _seconds(ready.max_frame_age))
        case "drain":
            return Draining(_seconds(message.drain.grace))
        case "result":
            return Said(message.sequence, read_recognition(message.result))
        case "dropped":
            reason = _reason(recognition_pb2.DropReason, message.dropped.reason, DropReason)
            return Said(message.sequence, Dropped(Side.SERVER, reason))
        case "error":
            error = error_of_status(message.error)
            return Said(message.sequence, Failed(Side.SERVER, error.cause.reason or error.cause.code, error.message))
        case _:
            return Unreadable()


def read_recognition(result: recognition_pb2.FrameResult) -> Recognition:
    """The faces of one picture."""
    timing = result.timing
    return Recognition(
        faces=tuple(read_face(face) for face in result.faces),
        width=result.width,
        height=result.height,
        timing=Timing(
            queue_ns=timing.queue.ToNanoseconds(),
            decode_ns=timing.decode.ToNanoseconds(),
            detect_ns=timing.detect.ToNanoseconds(),
            align_ns=timing.align.ToNanoseconds(),
            embed_ns=timing.embed.ToNanoseconds(),
            match_ns=timing.match.ToNanoseconds(),
            total_ns=timing.total.ToNanoseconds(),
        ),
        gallery_revision=result.gallery_revision,
    )


# ---- faces


def read_face(face: face_pb2.Face) -> faces.Face:
    """One face."""
    box, points = face.box, face.landmarks
    return faces.Face(
        box=faces.Box(box.left, box.top, box.width, box.height),
        landmarks=faces.Landmarks(
            *(
                (point.x, point.y)
                for point in (points.left_eye, points.right_eye, points.nose, points.mouth_left, points.mouth_right)
            )
        ),
        detection_score=face.detection_score,
        quality=_quality(face.quality),
        track=face.track,
        answer=_answer(face),
    )


def _answer(face: face_pb2.Face) -> faces.Answer:
    match face.WhichOneof("answer"):
        case "match":
            match = face.match
            return faces.Match(
                identity=match.identity,
                display_name=match.display_name,
                distance=match.distance,
                threshold=match.threshold,
                margin=match.margin if match.HasField("margin") else None,
                confidence=match.confidence if match.HasField("confidence") else None,
            )
        case "unknown":
            unknown = face.unknown
            return faces.Unknown(
                group=unknown.unknown,
                reason=_reason(face_pb2.UnknownReason, unknown.reason, faces.UnknownReason),
                distance=unknown.distance if unknown.HasField("distance") else None,
                threshold=unknown.threshold,
            )
        case "undecided":
            return faces.Undecided(_reason(face_pb2.UndecidedReason, face.undecided.reason, faces.UndecidedReason))
        case _:
            return faces.Unanswered()


def _quality(quality: face_pb2.Quality) -> faces.Quality:
    return faces.Quality(
        score=quality.score,
        size_px=quality.size_pixels,
        sharpness=quality.sharpness,
        yaw_deg=quality.yaw_degrees,
        pitch_deg=quality.pitch_degrees,
        roll_deg=quality.roll_degrees,
        brightness=quality.brightness,
    )


# ---- people


def read_identity(identity: gallery_pb2.Identity) -> people.Identity:
    """A person."""
    return people.Identity(
        name=identity.name,
        display_name=identity.display_name,
        template_count=identity.template_count,
        created_at=_moment(identity.create_time),
        updated_at=_moment(identity.update_time),
    )


def read_details(response: gallery_pb2.GetIdentityResponse) -> people.IdentityDetails:
    """A person and the person's templates."""
    return people.IdentityDetails(
        read_identity(response.identity),
        tuple(
            people.Template(item.id, item.source, _quality(item.quality), _moment(item.create_time))
            for item in response.templates
        ),
    )


def read_enrolment(response: gallery_pb2.EnrolIdentityResponse) -> people.Enrolment:
    """What came of an enrolment."""
    return people.Enrolment(
        identity=read_identity(response.identity),
        photos=tuple(
            people.PhotoOutcome(
                source=photo.source,
                accepted=photo.accepted,
                refusal=_reason(gallery_pb2.PhotoRefusal, photo.refusal, people.Refusal),
                message=photo.message,
                quality=_quality(photo.quality) if photo.HasField("quality") else None,
            )
            for photo in response.photos
        ),
        gallery_revision=response.gallery_revision,
    )


def read_refusals(error: RpcError, photos: Sequence[Photo]) -> tuple[people.PhotoOutcome, ...]:
    """What is wrong with each photograph of a request of which the server could use none."""
    reasons = (error.cause.metadata.get(f"photo_{i}", "").lower() for i in range(len(photos)))
    refusals = (people.Refusal(r) if r in set(people.Refusal) else people.Refusal.UNSPECIFIED for r in reasons)
    return tuple(
        people.PhotoOutcome(photo.source, accepted=False, refusal=refusal, message="", quality=None)
        for photo, refusal in zip(photos, refusals, strict=True)
    )


def read_receipt(receipt: gallery_pb2.DeletionReceipt) -> people.Receipt:
    """What a deletion removed."""
    return people.Receipt(receipt.name, receipt.template_count, _moment(receipt.delete_time), receipt.gallery_revision)


def read_search(response: gallery_pb2.SearchIdentitiesResponse) -> people.SearchResult:
    """The people nearest to each face."""
    return people.SearchResult(
        faces=tuple(
            people.FaceCandidates(
                read_face(found.face),
                tuple(
                    people.Candidate(read_identity(c.identity), c.distance, c.template_id, c.within_threshold)
                    for c in found.candidates
                ),
            )
            for found in response.faces
        ),
        threshold=response.threshold,
        gallery_revision=response.gallery_revision,
    )


def read_verification(response: recognition_pb2.VerifyResponse) -> people.Verification:
    """Whether two photographs show the same person."""
    return people.Verification(
        same=response.same,
        distance=response.distance,
        threshold=response.threshold,
        target_far=response.target_far,
        first_face=read_face(response.first_face),
        second_face=read_face(response.second_face),
    )


def read_embeddings(response: recognition_pb2.EmbedResponse) -> tuple[people.EmbeddedFace, ...]:
    """Every face and its embedding, the largest first."""
    return tuple(
        people.EmbeddedFace(read_face(item.face), tuple(item.embedding), response.fingerprint)
        for item in response.faces
    )


def read_statistics(response: gallery_pb2.GetGalleryStatisticsResponse) -> people.GalleryStatistics:
    """Numbers about one gallery."""
    return people.GalleryStatistics(
        gallery=response.gallery,
        identity_count=response.identity_count,
        template_count=response.template_count,
        revision=response.revision,
        fingerprint=response.fingerprint,
        threshold=response.threshold,
        target_far=response.target_far,
        index_base_count=response.index_base_count,
        index_delta_count=response.index_delta_count,
    )


def read_server(response: server_pb2.GetServerInfoResponse) -> people.ServerDescription:
    """What runs where."""
    limits = response.limits
    return people.ServerDescription(
        version=response.version,
        models=tuple(
            people.LoadedModel(model.kind, model.model, model.sha256, model.licence, model.backend)
            for model in response.models
        ),
        fingerprint=response.fingerprint,
        limits=people.ServerLimits(limits.image_bytes, limits.image_pixels, limits.enrolment_photos, limits.streams),
        uptime_s=_seconds(response.uptime),
        open_streams=response.open_streams,
        target_far=response.target_far,
    )


# ---- leaves


def _moment(timestamp: Timestamp) -> datetime:
    return timestamp.ToDatetime(tzinfo=UTC)


def _seconds(duration: Duration) -> float:
    return duration.ToNanoseconds() / 1e9


def _reason(wire_enum: object, number: int, kind: type[_ReasonT]) -> _ReasonT:
    """The reason with this number; the UNSPECIFIED one when a newer server gives one that this client doesn't know."""
    descriptor = wire_enum.DESCRIPTOR  # type: ignore[attr-defined]
    value = descriptor.values_by_number.get(number)
    prefix = descriptor.values_by_number[0].name.removesuffix("UNSPECIFIED")
    name = value.name.removeprefix(prefix).lower() if value else "unspecified"
    return kind(name) if name in kind.__members__.values() else kind("unspecified")
