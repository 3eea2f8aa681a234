"""What is told of sightings and unknown groups. Times are wall-clock nanoseconds since the epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from server.domain import GalleryName, Quality


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a sighting shows as of now.

    Attributes:
        identity: resource name of an enrolled person; empty when it is nobody who is enrolled.
        display_name: that person's name.
        unknown: resource name of the group of unknown faces that the face belongs to; empty while it is in none that
            is known. Set beside `identity` when the group was named.
        ignored: the group is one that an admin does not want to see.
    """

    identity: str = ""
    display_name: str = ""
    unknown: str = ""
    ignored: bool = False


@dataclass(frozen=True, slots=True)
class Sighting:
    """One track, as it was written last, and whom it shows now.

    Attributes:
        name: resource name.
        key: the store's key of it.
        camera: the camera's name.
        track: the track's.
        first_seen_ns: when its first frame was captured.
        last_seen_ns: when its last frame so far was captured.
        frames: in which it was seen.
        ended: no frame will follow.
        person: whom it shows.
        distance: to the nearest enrolled person, squared L2; None while nobody was enrolled.
        threshold: the distance that had to be beaten, squared L2.
        quality: of the best look.
        best_ns: when that was captured.
    """

    name: str
    key: int
    camera: str
    track: str
    first_seen_ns: int
    last_seen_ns: int
    frames: int
    ended: bool
    person: Person
    distance: float | None
    threshold: float
    quality: Quality
    best_ns: int


@dataclass(frozen=True, slots=True)
class SightingFilter:
    """Which sightings are wanted.

    Attributes:
        identity: resource name of the person whom they show; empty for everybody.
        unknown: resource name of the group that they belong to; empty for all.
        camera: name; empty for all.
        start_ns: they were not over before this; those that have not ended never are.
        end_ns: they had begun before this; 0 for no end.
        include_ignored: also those of ignored groups.
    """

    identity: str = ""
    unknown: str = ""
    camera: str = ""
    start_ns: int = 0
    end_ns: int = 0
    include_ignored: bool = False


@dataclass(frozen=True, slots=True)
class SightingPage:
    """Some sightings, the newest first, and the token of the next page; empty when this is the last."""

    sightings: tuple[Sighting, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class NearSighting:
    """A sighting near a probe: its squared L2."""

    sighting: Sighting
    distance: float


@dataclass(frozen=True, slots=True)
class SightingSearch:
    """The sightings nearest to some faces.

    Attributes:
        candidates: per query, nearest first.
        people_count: how many different people were searched: groups, and faces that are in none.
        searched_count: how many sightings were searched.
    """

    candidates: tuple[tuple[NearSighting, ...], ...]
    people_count: int
    searched_count: int


class UnknownState(Enum):
    """What a group of unknown faces is."""

    OPEN = "open"
    IGNORED = "ignored"
    NAMED = "named"


@dataclass(frozen=True, slots=True)
class Unknown:
    """A group of unknown faces.

    Attributes:
        name: resource name.
        state: what it is.
        identity: resource name of the identity that it was named as; empty unless it was.
        display_name: of that identity.
        sighting_count: how many sightings belong to it.
        first_seen_ns: when the first of them began; 0 while there are none.
        last_seen_ns: when the last of them was last seen.
        cameras: that saw it, sorted.
        best_sighting: resource name of the one with the best look; empty while there are none.
    """

    name: str
    state: UnknownState
    identity: str
    display_name: str
    sighting_count: int
    first_seen_ns: int
    last_seen_ns: int
    cameras: tuple[str, ...]
    best_sighting: str


@dataclass(frozen=True, slots=True)
class UnknownPage:
    """Some groups in the order of their beginning, and the token of the next page; empty when this is the last."""

    unknowns: tuple[Unknown, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class UnknownFace:
    """A face of a group: its sighting, and the crop as JPEG, empty when it was not kept."""

    sighting: Sighting
    crop: bytes


class OperationKind(Enum):
    """What an admin did."""

    NAME = "name"
    MERGE = "merge"
    SPLIT = "split"
    IGNORE = "ignore"
    SHOW = "show"
    DELETE = "delete"
    REJECT = "reject"
    UNDO = "undo"


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that an admin did: a line of the audit log.

    Attributes:
        name: resource name.
        kind: what.
        principal: who.
        at_ns: when.
        subjects: resource names of what it was about.
        undone: it was taken back.
    """

    name: str
    kind: OperationKind
    principal: str
    at_ns: int
    subjects: tuple[str, ...]
    undone: bool


@dataclass(frozen=True, slots=True)
class OperationPage:
    """Some operations, the newest first, and the token of the next page; empty when this is the last."""

    operations: tuple[Operation, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class OperationReceipt:
    """An operation that is durable and visible. Whom names stand for is looked up when it is told.

    Attributes:
        operation: resource name.
        unknown: resource name of the group that it is about; empty when it is about none.
        other: resource name of the group that came out of a split; empty for other operations.
        identity: resource name of the identity that it is about; empty when it is about none.
        sighting: resource name of the sighting that it is about; empty when it is about none.
        template_count: faces that became templates.
        revision: of the gallery.
        payload: the request stamp's.
        replayed: True when an earlier request with the same id did it.
    """

    operation: str
    unknown: str = ""
    other: str = ""
    identity: str = ""
    sighting: str = ""
    template_count: int = 0
    revision: int = 0
    payload: bytes = b""
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class UnknownDeletionReceipt:
    """A removal that is durable and visible.

    Attributes:
        name: resource name of the group that is gone.
        sighting_count: how many sightings went too.
        deleted_at_ns: when.
        payload: the request stamp's.
        replayed: True when an earlier request with the same id did it.
    """

    name: str
    sighting_count: int
    deleted_at_ns: int
    payload: bytes = b""
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class SightingChange:
    """What a write did to sightings and groups, told to whoever watches.

    Attributes:
        gallery: of them.
        gallery_key: the store's key of it.
        sightings: keys of sightings that are new, changed, or show somebody else.
        people: resource names of groups and identities that are somebody else, or called otherwise, from now on.
        deleted: keys of sightings that are gone.
    """

    gallery: GalleryName
    gallery_key: int
    sightings: tuple[int, ...] = ()
    people: tuple[str, ...] = ()
    deleted: tuple[int, ...] = field(default=())
