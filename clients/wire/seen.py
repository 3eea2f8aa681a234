"""Sightings, unknown people and operations from answers, and what is asked of them to requests."""

from __future__ import annotations

from datetime import datetime

from facestream.v1 import sighting_pb2, unknown_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from clients import seen
from clients.wire.faces import read_face, read_quality
from clients.wire.leaves import moment, named
from clients.wire.people import read_identity


def list_request(query: seen.SightingQuery, *, gallery: str, page_size: int) -> sighting_pb2.ListSightingsRequest:
    """Asks for the first page of sightings."""
    return sighting_pb2.ListSightingsRequest(
        gallery=gallery,
        page_size=page_size,
        identity=query.identity,
        unknown=query.unknown,
        camera=query.camera,
        start_time=_timestamp(query.start_at),
        end_time=_timestamp(query.end_at),
        include_ignored=query.include_ignored,
    )


def _timestamp(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


def read_sighting(message: sighting_pb2.Sighting) -> seen.RecordedSighting:
    """A sighting."""
    return seen.RecordedSighting(
        name=message.name,
        camera=message.camera,
        track=message.track,
        first_seen_at=moment(message.first_seen_time),
        last_seen_at=moment(message.last_seen_time),
        frames=message.frame_count,
        ended=message.ended,
        identity=message.identity,
        display_name=message.display_name,
        unknown=message.unknown,
        ignored=message.ignored,
        distance=message.distance if message.HasField("distance") else None,
        threshold=message.threshold,
        quality=read_quality(message.quality),
        best_at=moment(message.best_time),
    )


def read_past(response: sighting_pb2.SearchSightingsResponse) -> seen.PastSearch:
    """The sightings nearest to each face."""
    return seen.PastSearch(
        faces=tuple(
            seen.FaceSightings(
                read_face(found.face),
                tuple(
                    seen.SightingCandidate(read_sighting(near.sighting), near.distance, near.within_threshold)
                    for near in found.candidates
                ),
            )
            for found in response.faces
        ),
        threshold=response.threshold,
        searched_count=response.searched_count,
    )


def read_event(message: sighting_pb2.WatchSightingsResponse) -> seen.SightingEvent | None:
    """What a watcher is told; None for what this client doesn't know."""
    match message.WhichOneof("event"):
        case "ready":
            return seen.WatchBegan()
        case "sighting":
            return read_sighting(message.sighting)
        case "person":
            return seen.PersonChange(message.person.name, message.person.now, message.person.display_name)
        case "deleted_sighting":
            return seen.SightingDeleted(message.deleted_sighting)
        case _:
            return None


def read_unknown(message: unknown_pb2.Unknown) -> seen.UnknownPerson:
    """A group."""
    return seen.UnknownPerson(
        name=message.name,
        state=named(unknown_pb2.UnknownState, message.state, seen.UnknownState),
        identity=message.identity,
        display_name=message.display_name,
        sighting_count=message.sighting_count,
        first_seen_at=moment(message.first_seen_time),
        last_seen_at=moment(message.last_seen_time),
        cameras=tuple(message.cameras),
        best_sighting=message.best_sighting,
    )


def state_number(state: seen.UnknownState) -> unknown_pb2.UnknownState.ValueType:
    """A state as the API has it."""
    return unknown_pb2.UnknownState.Value(f"UNKNOWN_STATE_{state.name}")


def read_unknown_details(response: unknown_pb2.GetUnknownResponse) -> seen.UnknownDetails:
    """A group and its faces."""
    return seen.UnknownDetails(
        read_unknown(response.unknown),
        tuple(seen.UnknownFace(read_sighting(face.sighting), face.crop) for face in response.faces),
    )


def read_naming(response: unknown_pb2.NameUnknownResponse) -> seen.Naming:
    """Who a group is."""
    return seen.Naming(
        read_unknown(response.unknown),
        read_identity(response.identity),
        response.template_count,
        response.operation,
        response.gallery_revision,
    )


def read_correction(
    response: unknown_pb2.MergeUnknownsResponse | unknown_pb2.IgnoreUnknownResponse,
) -> seen.Correction:
    """What became of a group."""
    return seen.Correction(read_unknown(response.unknown), response.operation)


def read_split(response: unknown_pb2.SplitUnknownResponse) -> seen.Split:
    """The two groups."""
    return seen.Split(read_unknown(response.unknown), read_unknown(response.split), response.operation)


def read_rejection(response: unknown_pb2.RejectMatchResponse) -> seen.Rejection:
    """What became of a match."""
    return seen.Rejection(read_sighting(response.sighting), response.rejected_identity, response.operation)


def read_unknown_receipt(receipt: unknown_pb2.UnknownDeletionReceipt) -> seen.UnknownReceipt:
    """What a deletion removed."""
    return seen.UnknownReceipt(receipt.name, receipt.sighting_count, moment(receipt.delete_time))


def read_operation(message: unknown_pb2.Operation) -> seen.Operation:
    """What an admin did."""
    return seen.Operation(
        name=message.name,
        kind=named(unknown_pb2.OperationKind, message.kind, seen.OperationKind),
        principal=message.principal,
        created_at=moment(message.create_time),
        subjects=tuple(message.subjects),
        undone=message.undone,
    )
