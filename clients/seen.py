"""What the server says of sightings, unknown people and what admins did to them, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from clients.faces import Face, Quality
from clients.people import Identity


@dataclass(frozen=True, slots=True)
class RecordedSighting:
    """One face that was followed through one camera's frames.

    Attributes:
        name: resource name, tenants/T/galleries/G/sightings/S.
        camera: name of the camera.
        track: unique over all streams.
        first_seen_at: when its first frame was captured, UTC.
        last_seen_at: when its last frame so far was captured, UTC.
        frames: in which the face was seen so far.
        ended: no frame will follow.
        identity: resource name of the enrolled person whom it shows as of now; "" for nobody.
        display_name: that person's.
        unknown: resource name of the group of unknown faces that it belongs to; "" for none.
        ignored: the group is one that an admin does not want to see.
        distance: to the nearest enrolled person; None while nobody was enrolled.
        threshold: the distance that had to be beaten.
        quality: of the best look.
        best_at: when that was captured, UTC.
    """

    name: str
    camera: str
    track: str
    first_seen_at: datetime
    last_seen_at: datetime
    frames: int
    ended: bool
    identity: str
    display_name: str
    unknown: str
    ignored: bool
    distance: float | None
    threshold: float
    quality: Quality
    best_at: datetime

    @property
    def id(self) -> str:
        """Last part of the resource name."""
        return self.name.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class SightingQuery:
    """Which sightings are wanted.

    Attributes:
        identity: resource name of the person whom they show; "" for everybody.
        unknown: resource name of the group that they belong to; "" for all.
        camera: name; "" for all.
        start_at: they were not over before this; None for all.
        end_at: they had begun before this; None for all.
        include_ignored: also those of ignored groups.
    """

    identity: str = ""
    unknown: str = ""
    camera: str = ""
    start_at: datetime | None = None
    end_at: datetime | None = None
    include_ignored: bool = False


@dataclass(frozen=True, slots=True)
class SightingCandidate:
    """A sighting and how near it is to a face."""

    sighting: RecordedSighting
    distance: float
    within_threshold: bool


@dataclass(frozen=True, slots=True)
class FaceSightings:
    """One face of a photograph and the sightings nearest to it, the nearest first."""

    face: Face
    candidates: tuple[SightingCandidate, ...]


@dataclass(frozen=True, slots=True)
class PastSearch:
    """The sightings nearest to each face of a photograph, the largest face first."""

    faces: tuple[FaceSightings, ...]
    threshold: float
    searched_count: int


@dataclass(frozen=True, slots=True)
class PersonChange:
    """Somebody is called or is somebody else now.

    Attributes:
        name: resource name of the identity or group that changed.
        now: who that is now: an identity, or the group that took it in; "" when it was deleted.
        display_name: now; "" for none.
    """

    name: str
    now: str
    display_name: str


@dataclass(frozen=True, slots=True)
class SightingDeleted:
    """A sighting is gone: its resource name."""

    name: str


@dataclass(frozen=True, slots=True)
class WatchBegan:
    """From now on a watcher is told: what a list shows after this, and what comes, leave nothing out."""


SightingNews: TypeAlias = RecordedSighting | PersonChange | SightingDeleted
"""What has happened; a sighting that is new or changed comes as itself."""

SightingEvent: TypeAlias = WatchBegan | SightingNews
"""What a watcher is told."""


class UnknownState(StrEnum):
    """What a group of unknown faces is."""

    UNSPECIFIED = "unspecified"
    OPEN = "open"
    IGNORED = "ignored"
    NAMED = "named"


@dataclass(frozen=True, slots=True)
class UnknownPerson:
    """A group of unknown faces: somebody who was seen and is not enrolled.

    Attributes:
        name: resource name, tenants/T/galleries/G/unknowns/U.
        state: what it is.
        identity: resource name of the identity that it was named as; "" unless it was.
        display_name: that identity's.
        sighting_count: sightings that belong to it.
        first_seen_at: when the first of them began, UTC.
        last_seen_at: when the last of them was last seen, UTC.
        cameras: that saw the person.
        best_sighting: resource name of the one with the best look.
    """

    name: str
    state: UnknownState
    identity: str
    display_name: str
    sighting_count: int
    first_seen_at: datetime
    last_seen_at: datetime
    cameras: tuple[str, ...]
    best_sighting: str

    @property
    def id(self) -> str:
        """Last part of the resource name."""
        return self.name.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class UnknownFace:
    """A face of a group: where it was seen, and the JPEG of the aligned face, empty when it was not kept."""

    sighting: RecordedSighting
    crop: bytes


@dataclass(frozen=True, slots=True)
class UnknownDetails:
    """A group and its faces, the best first."""

    unknown: UnknownPerson
    faces: tuple[UnknownFace, ...]


@dataclass(frozen=True, slots=True)
class Naming:
    """Who a group is from now on: the group, the person, how many of its faces became templates, the operation."""

    unknown: UnknownPerson
    identity: Identity
    template_count: int
    operation: str
    gallery_revision: int


@dataclass(frozen=True, slots=True)
class Correction:
    """What became of a group, and the operation that can be undone."""

    unknown: UnknownPerson
    operation: str


@dataclass(frozen=True, slots=True)
class Split:
    """The two groups that one was split into: the one that keeps its name, and the new one."""

    unknown: UnknownPerson
    other: UnknownPerson
    operation: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """A match that was denied: the sighting now, whom it never shows again, and the operation."""

    sighting: RecordedSighting
    rejected_identity: str
    operation: str


@dataclass(frozen=True, slots=True)
class UnknownReceipt:
    """What a deletion removed."""

    name: str
    sighting_count: int
    deleted_at: datetime


class OperationKind(StrEnum):
    """What an admin did."""

    UNSPECIFIED = "unspecified"
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
        name: resource name, tenants/T/galleries/G/operations/O.
        kind: what was done.
        principal: who did it.
        created_at: when, UTC.
        subjects: resource names of what it was about.
        undone: it was taken back.
    """

    name: str
    kind: OperationKind
    principal: str
    created_at: datetime
    subjects: tuple[str, ...]
    undone: bool

    @property
    def id(self) -> str:
        """Last part of the resource name."""
        return self.name.rpartition("/")[2]
