"""Sightings, unknown people and operations as rows of tables and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from clients.output import Json
from clients.seen import (
    Operation,
    PastSearch,
    PersonChange,
    RecordedSighting,
    SightingDeleted,
    SightingNews,
    UnknownPerson,
    UnknownState,
)

SIGHTING_COLUMNS = ("id", "who", "camera", "first seen", "last seen", "frames", "distance", "quality")
UNKNOWN_COLUMNS = ("id", "who", "sightings", "cameras", "first seen", "last seen")
OPERATION_COLUMNS = ("id", "what", "when", "by", "about")


def sighting_json(sighting: RecordedSighting) -> Json:
    """A sighting."""
    return {
        "name": sighting.name,
        "id": sighting.id,
        "camera": sighting.camera,
        "track": sighting.track,
        "first_seen_at": sighting.first_seen_at.isoformat(),
        "last_seen_at": sighting.last_seen_at.isoformat(),
        "frames": sighting.frames,
        "ended": sighting.ended,
        "identity": sighting.identity or None,
        "display_name": sighting.display_name or None,
        "unknown": sighting.unknown or None,
        "ignored": sighting.ignored,
        "distance": None if sighting.distance is None else round(sighting.distance, 4),
        "threshold": round(sighting.threshold, 4),
        "quality": round(sighting.quality.score, 3),
    }


def sighting_row(sighting: RecordedSighting) -> tuple[str, ...]:
    """A sighting as a row of `SIGHTING_COLUMNS`."""
    distance = "-" if sighting.distance is None else f"{sighting.distance:.2f} of {sighting.threshold:.2f}"
    return (
        sighting.id,
        who_is(sighting),
        sighting.camera,
        clock(sighting.first_seen_at),
        clock(sighting.last_seen_at) + ("" if sighting.ended else " ..."),
        str(sighting.frames),
        distance,
        f"{sighting.quality.score:.2f}",
    )


def who_is(sighting: RecordedSighting) -> str:
    """The name, or the group's id in brackets, or that it is nobody."""
    if sighting.display_name:
        return sighting.display_name
    return f"({sighting.unknown.rpartition('/')[2]})" if sighting.unknown else "(unknown)"


def unknown_json(unknown: UnknownPerson) -> Json:
    """A group."""
    return {
        "name": unknown.name,
        "id": unknown.id,
        "state": str(unknown.state),
        "identity": unknown.identity or None,
        "display_name": unknown.display_name or None,
        "sighting_count": unknown.sighting_count,
        "first_seen_at": unknown.first_seen_at.isoformat(),
        "last_seen_at": unknown.last_seen_at.isoformat(),
        "cameras": list(unknown.cameras),
        "best_sighting": unknown.best_sighting,
    }


def unknown_row(unknown: UnknownPerson) -> tuple[str, ...]:
    """A group as a row of `UNKNOWN_COLUMNS`."""
    nameless = "(ignored)" if unknown.state is UnknownState.IGNORED else "(unknown)"
    return (
        unknown.id,
        unknown.display_name or nameless,
        str(unknown.sighting_count),
        ", ".join(unknown.cameras),
        clock(unknown.first_seen_at),
        clock(unknown.last_seen_at),
    )


def operation_json(operation: Operation) -> Json:
    """What an admin did."""
    return {
        "name": operation.name,
        "id": operation.id,
        "kind": str(operation.kind),
        "principal": operation.principal,
        "created_at": operation.created_at.isoformat(),
        "subjects": list(operation.subjects),
        "undone": operation.undone,
    }


def operation_row(operation: Operation) -> tuple[str, ...]:
    """What an admin did as a row of `OPERATION_COLUMNS`."""
    about = ", ".join(_short(subject) for subject in operation.subjects)
    what = f"{operation.kind} (undone)" if operation.undone else str(operation.kind)
    return operation.id, what, clock(operation.created_at), operation.principal, about


def event_json(event: SightingNews) -> Json:
    """What a watcher is told."""
    match event:
        case RecordedSighting():
            return {"event": "sighting"} | sighting_json(event)
        case PersonChange(name=name, now=now, display_name=display_name):
            return {"event": "person", "name": name, "now": now or None, "display_name": display_name or None}
        case SightingDeleted(name=name):
            return {"event": "deleted", "name": name}


def event_line(event: SightingNews) -> str:
    """What a watcher is told, for people."""
    match event:
        case RecordedSighting():
            times = f"{clock(event.first_seen_at)} to {clock(event.last_seen_at)}"
            return f"sighting {event.id}  {who_is(event)}  {event.camera}  {times}  {event.frames} frames"
        case PersonChange(name=name, now=""):
            return f"{_short(name)} is gone"
        case PersonChange(name=name, now=now, display_name=display_name):
            target = display_name or ("itself again" if now == name else _short(now))
            return f"{_short(name)} is {target}"
        case SightingDeleted(name=name):
            return f"{_short(name)} is gone"


def past_json(result: PastSearch) -> Json:
    """The sightings nearest to each face."""
    return {
        "threshold": round(result.threshold, 4),
        "searched_count": result.searched_count,
        "faces": [
            {
                "sightings": [
                    sighting_json(near.sighting)
                    | {"face_distance": round(near.distance, 4), "within_threshold": near.within_threshold}
                    for near in found.candidates
                ]
            }
            for found in result.faces
        ],
    }


def past_rows(result: PastSearch) -> Sequence[tuple[str, ...]]:
    """The sightings nearest to each face, a row each."""
    return [
        (
            str(number),
            f"{near.distance:.2f}{'' if near.within_threshold else ' (too far)'}",
            *sighting_row(near.sighting)[:5],
        )
        for number, found in enumerate(result.faces, start=1)
        for near in found.candidates
    ]


def clock(at: datetime) -> str:
    """A point in time by the clock on the wall."""
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def _short(name: str) -> str:
    """A resource name without tenant and gallery: unknown u5, sighting 7."""
    collection, _, identifier = name.rpartition("/")
    kind = collection.rpartition("/")[2]
    return f"{ {'identities': 'person'}.get(kind, kind.removesuffix('s')) } {identifier}"
