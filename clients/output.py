"""Values as rows of tables and as JSON, for terminals and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeAlias

from clients.checkup import Checkup
from clients.faces import Answer, Face, Match, Undecided, Unknown
from clients.frames import Dropped, Failed, FrameAnswer, Lost, Recognised, Stamp
from clients.people import Identity, PhotoOutcome, SearchResult, Status, Template
from clients.summary import Sighting, Who

Json: TypeAlias = dict[str, object]


class Clock(StrEnum):
    """How the time of a frame is shown: since the start of the video, or by the clock on the wall."""

    POSITION = "position"
    WALL = "wall"


# ---- JSON


def frame_json(answer: FrameAnswer) -> Json:
    """One frame of a stream."""
    head: Json = {
        "sequence": answer.stamp.sequence,
        "captured_at": timestamp(answer.stamp.captured_at_ns),
        "position_s": round(answer.stamp.position_ns / 1e9, 3),
    }
    match answer.outcome:
        case Recognised(faces=faces, latency_ns=latency_ns, timing=timing):
            return head | {
                "outcome": "result",
                "latency_ms": round(latency_ns / 1e6, 1),
                "server_ms": round(timing.total_ns / 1e6, 1),
                "faces": [face_json(face) for face in faces],
            }
        case Dropped(by=by, reason=reason):
            return head | {"outcome": "dropped", "by": str(by), "reason": str(reason)}
        case Failed(by=by, reason=reason, message=message):
            return head | {"outcome": "error", "by": str(by), "reason": reason, "message": message}
        case Lost(message=message):
            return head | {"outcome": "lost", "message": message}


def face_json(face: Face) -> Json:
    """One face: `box` is left, top, width, height in pixels; `name` is null unless somebody known was recognised."""
    box = face.box
    shown: Json = {
        "box": [round(side, 1) for side in (box.left, box.top, box.width, box.height)],
        "name": None,
        **_answer_json(face.answer),
        "quality": round(face.quality.score, 3),
        "score": round(face.detection_score, 3),
    }
    return shown | {"track": face.track} if face.track else shown


def _answer_json(answer: Answer) -> Json:
    match answer:
        case Match():
            return {
                "name": answer.display_name,
                "answer": "match",
                "identity": answer.identity,
                "distance": round(answer.distance, 4),
                "threshold": round(answer.threshold, 4),
                "margin": _rounded(answer.margin),
                "confidence": _rounded(answer.confidence),
                "provisional": answer.provisional,
            }
        case Unknown():
            return {
                "answer": "unknown",
                "unknown": answer.group or None,
                "reason": str(answer.reason),
                "distance": _rounded(answer.distance),
                "threshold": round(answer.threshold, 4),
            }
        case Undecided():
            return {"answer": "undecided", "reason": str(answer.reason)}
        case _:
            return {"answer": "none"}


def identity_json(identity: Identity) -> Json:
    """A person."""
    return {
        "name": identity.name,
        "id": identity.id,
        "display_name": identity.display_name,
        "template_count": identity.template_count,
        "created_at": identity.created_at.isoformat(),
        "updated_at": identity.updated_at.isoformat(),
    }


def template_json(template: Template) -> Json:
    """A reference face."""
    return {
        "id": template.id,
        "source": template.source,
        "quality": round(template.quality.score, 3),
        "created_at": template.created_at.isoformat(),
    }


def photo_json(photo: PhotoOutcome) -> Json:
    """What became of a photograph."""
    shown: Json = {"source": photo.source, "accepted": photo.accepted}
    if not photo.accepted:
        shown |= {"refusal": str(photo.refusal), "message": photo.message}
    if photo.quality is not None:
        shown["quality"] = round(photo.quality.score, 3)
    return shown


def search_json(result: SearchResult) -> Json:
    """Who is nearest to each face."""
    return {
        "threshold": round(result.threshold, 4),
        "faces": [
            face_json(found.face)
            | {
                "candidates": [
                    {
                        "identity": candidate.identity.name,
                        "name": candidate.identity.display_name,
                        "distance": round(candidate.distance, 4),
                        "within_threshold": candidate.within_threshold,
                        "template": candidate.template_id,
                    }
                    for candidate in found.candidates
                ]
            }
            for found in result.faces
        ],
    }


def checkup_json(checkup: Checkup) -> Json:
    """What a check of a gallery found."""
    return {
        "templates": checkup.template_count,
        "checked": checkup.checked_count,
        "revision": checkup.gallery_revision,
        "threshold": round(checkup.threshold, 4),
        "advised_threshold": round(checkup.advised_threshold, 4),
        "advised_target_far": checkup.advised_target_far,
        "observed_far": checkup.observed_far,
        "kept_share": _rounded(checkup.kept_share),
        "finding_count": checkup.finding_count,
        "findings": [
            {
                "trouble": str(finding.trouble),
                "identity": finding.template.identity,
                "name": finding.template.display_name,
                "template": finding.template.template_id,
                "other_identity": finding.other.identity if finding.other else None,
                "other_name": finding.other.display_name if finding.other else None,
                "other_template": finding.other.template_id if finding.other else None,
                "distance": _rounded(finding.distance),
                "own_distance": _rounded(finding.own_distance),
                "quality": round(finding.quality, 3),
                "meaning": finding.meaning,
                "remedy": finding.remedy,
            }
            for finding in checkup.findings
        ],
    }


def status_json(status: Status) -> Json:
    """What the server is."""
    server, gallery = status.server, status.gallery
    return {
        "health": str(status.health),
        "version": server.version,
        "uptime_s": round(server.uptime_s, 1),
        "workers": server.workers,
        "keeps_sightings": server.keeps_sightings,
        "open_streams": server.open_streams,
        "target_far": server.target_far,
        "fingerprint": server.fingerprint,
        "models": [
            {
                "kind": model.kind,
                "model": model.model,
                "backend": model.backend,
                "backend_reason": model.backend_reason,
                "runtimes": [asdict(trial) for trial in model.runtimes],
                "licence": model.licence,
                "sha256": model.sha256,
            }
            for model in server.models
        ],
        "limits": {
            "image_bytes": server.limits.image_bytes,
            "image_pixels": server.limits.image_pixels,
            "enrolment_photos": server.limits.enrolment_photos,
            "streams": server.limits.streams,
        },
        "gallery": {
            "name": gallery.gallery,
            "identity_count": gallery.identity_count,
            "template_count": gallery.template_count,
            "revision": gallery.revision,
            "fingerprint": gallery.fingerprint,
            "threshold": round(gallery.threshold, 4),
        },
    }


# ---- rows

SIGHTING_COLUMNS = ("person", "first seen", "last seen", "frames", "best distance", "identity")


def sighting_rows(sightings: Sequence[Sighting], clock: Clock) -> list[tuple[str, ...]]:
    """Who was seen when."""
    return [
        (
            seen.display_name if seen.who is Who.PERSON else "(unknown)",
            moment(seen.first, clock),
            moment(seen.last, clock),
            str(seen.frames),
            "-" if seen.best_distance is None else f"{seen.best_distance:.2f} of {seen.threshold:.2f}",
            seen.name.rpartition("/")[2] or "-",
        )
        for seen in sightings
    ]


PHOTO_COLUMNS = ("photo", "outcome", "quality", "reason")


def photo_rows(photos: Sequence[PhotoOutcome]) -> list[tuple[str, ...]]:
    """What became of photographs."""
    return [
        (
            photo.source,
            "accepted" if photo.accepted else "refused",
            f"{photo.quality.score:.2f}" if photo.quality else "-",
            photo.message or ("" if photo.accepted else photo.refusal.replace("_", " ")),
        )
        for photo in photos
    ]


# ---- leaves


def moment(stamp: Stamp, clock: Clock) -> str:
    """The time of a frame, for people."""
    if clock is Clock.WALL:
        return datetime.fromtimestamp(stamp.captured_at_ns / 1e9, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    minutes, tenths = divmod(round(stamp.position_ns / 1e8), 600)
    return f"{minutes}:{tenths // 10:02d}.{tenths % 10}"


def timestamp(ns: int) -> str:
    """Nanoseconds since the epoch as RFC 3339 in UTC, to the millisecond."""
    seconds, rest = divmod(ns, 10**9)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{rest // 10**6:03d}Z"


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 4)
