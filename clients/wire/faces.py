"""Faces from answers."""

from __future__ import annotations

from facestream.v1 import face_pb2, recognition_pb2

from clients import faces
from clients.frames import Recognition, Timing
from clients.wire.leaves import named


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
            track_ns=timing.track.ToNanoseconds(),
            align_ns=timing.align.ToNanoseconds(),
            embed_ns=timing.embed.ToNanoseconds(),
            match_ns=timing.match.ToNanoseconds(),
            total_ns=timing.total.ToNanoseconds(),
        ),
        gallery_revision=result.gallery_revision,
    )


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
        quality=read_quality(face.quality),
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
                provisional=match.provisional,
            )
        case "unknown":
            unknown = face.unknown
            return faces.Unknown(
                group=unknown.unknown,
                reason=named(face_pb2.UnknownReason, unknown.reason, faces.UnknownReason),
                distance=unknown.distance if unknown.HasField("distance") else None,
                threshold=unknown.threshold,
            )
        case "undecided":
            return faces.Undecided(named(face_pb2.UndecidedReason, face.undecided.reason, faces.UndecidedReason))
        case _:
            return faces.Unanswered()


def read_quality(quality: face_pb2.Quality) -> faces.Quality:
    """How fit a face is for recognition."""
    return faces.Quality(
        score=quality.score,
        size_px=quality.size_pixels,
        sharpness=quality.sharpness if quality.HasField("sharpness") else None,
        yaw_deg=quality.yaw_degrees,
        pitch_deg=quality.pitch_degrees,
        roll_deg=quality.roll_degrees,
        brightness=quality.brightness if quality.HasField("brightness") else None,
    )
