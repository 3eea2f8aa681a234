"""Sightings, unknown groups and operations to messages, and what is asked of them to values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from facestream.v1 import sighting_pb2, unknown_pb2

from server.errors import InvalidInputError
from server.identity.sightings.records import (
    NearSighting,
    Operation,
    OperationKind,
    Sighting,
    SightingFilter,
    Unknown,
    UnknownFace,
    UnknownState,
)
from server.rpc.wire import quality_message, time_ns_from, timestamp

_STATES: Mapping[UnknownState, unknown_pb2.UnknownState.ValueType] = {
    UnknownState.OPEN: unknown_pb2.UNKNOWN_STATE_OPEN,
    UnknownState.IGNORED: unknown_pb2.UNKNOWN_STATE_IGNORED,
    UnknownState.NAMED: unknown_pb2.UNKNOWN_STATE_NAMED,
}
_KINDS: Mapping[OperationKind, unknown_pb2.OperationKind.ValueType] = {
    OperationKind.NAME: unknown_pb2.OPERATION_KIND_NAME,
    OperationKind.MERGE: unknown_pb2.OPERATION_KIND_MERGE,
    OperationKind.SPLIT: unknown_pb2.OPERATION_KIND_SPLIT,
    OperationKind.IGNORE: unknown_pb2.OPERATION_KIND_IGNORE,
    OperationKind.SHOW: unknown_pb2.OPERATION_KIND_SHOW,
    OperationKind.DELETE: unknown_pb2.OPERATION_KIND_DELETE,
    OperationKind.REJECT: unknown_pb2.OPERATION_KIND_REJECT,
    OperationKind.UNDO: unknown_pb2.OPERATION_KIND_UNDO,
}


def sighting_message(sighting: Sighting) -> sighting_pb2.Sighting:
    """A sighting as a message."""
    return sighting_pb2.Sighting(
        name=sighting.name,
        camera=sighting.camera,
        track=sighting.track,
        first_seen_time=timestamp(sighting.first_seen_ns),
        last_seen_time=timestamp(sighting.last_seen_ns),
        frame_count=sighting.frames,
        ended=sighting.ended,
        identity=sighting.person.identity,
        display_name=sighting.person.display_name,
        unknown=sighting.person.unknown,
        ignored=sighting.person.ignored,
        distance=sighting.distance,
        threshold=sighting.threshold,
        quality=quality_message(sighting.quality),
        best_time=timestamp(sighting.best_ns),
    )


def candidate_message(near: NearSighting, threshold: float) -> sighting_pb2.SightingCandidate:
    """A sighting near a face as a message."""
    return sighting_pb2.SightingCandidate(
        sighting=sighting_message(near.sighting),
        distance=near.distance,
        within_threshold=near.distance <= threshold,
    )


def filter_from(request: sighting_pb2.ListSightingsRequest) -> SightingFilter:
    """Which sightings a request wants.

    Raises:
        InvalidInputError: TIME_INVALID.
    """
    return SightingFilter(
        identity=request.identity,
        unknown=request.unknown,
        camera=request.camera,
        start_ns=time_ns_from(request.start_time, "start_time"),
        end_ns=time_ns_from(request.end_time, "end_time"),
        include_ignored=request.include_ignored,
    )


def unknown_message(unknown: Unknown) -> unknown_pb2.Unknown:
    """A group as a message."""
    return unknown_pb2.Unknown(
        name=unknown.name,
        state=_STATES[unknown.state],
        identity=unknown.identity,
        display_name=unknown.display_name,
        sighting_count=unknown.sighting_count,
        first_seen_time=timestamp(unknown.first_seen_ns),
        last_seen_time=timestamp(unknown.last_seen_ns),
        cameras=unknown.cameras,
        best_sighting=unknown.best_sighting,
    )


def face_messages(faces: Iterable[UnknownFace]) -> list[unknown_pb2.UnknownFace]:
    """Faces of a group as messages."""
    return [unknown_pb2.UnknownFace(sighting=sighting_message(face.sighting), crop=face.crop) for face in faces]


def states_from(wanted: Iterable[int]) -> tuple[UnknownState, ...]:
    """States that a request wants.

    Raises:
        InvalidInputError: UNKNOWN_STATE_INVALID.
    """
    known = {number: state for state, number in _STATES.items()}
    states = []
    for position, number in enumerate(wanted):
        if number not in known:
            raise InvalidInputError(
                "UNKNOWN_STATE_INVALID",
                f"{number} is no state that groups can be in; name open, ignored or named",
                field=f"states[{position}]",
            )
        states.append(known[unknown_pb2.UnknownState.ValueType(number)])
    return tuple(states)


def operation_message(operation: Operation) -> unknown_pb2.Operation:
    """An operation as a message."""
    return unknown_pb2.Operation(
        name=operation.name,
        kind=_KINDS[operation.kind],
        principal=operation.principal,
        create_time=timestamp(operation.at_ns),
        subjects=operation.subjects,
        undone=operation.undone,
    )
