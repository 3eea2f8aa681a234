"""What clustering says and is told: faces, groups, and the changes that are written to the store before they count.

Groups and chunklets are numbered from 1 and a number is never used twice. A chunklet is a set of faces that an admin
said are one person (the transitive closure of must-links; Bar-Hillel et al. 2003): its faces are always together.
Two chunklets with a cannot-link between them are never in one group.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from server.domain import Embedding
from server.identity.coherence import shrunk

NO_CHUNKLET = 0
"""The chunklet of a face about which no admin has said anything."""


@dataclass(frozen=True, slots=True)
class UnknownFace:
    """A face that matched nobody, usually the template of one track.

    Attributes:
        key: the store's key of it, greater than 0, never used twice.
        embedding: (D,) float32 of norm 1.
        quality: 0..1.
        coherence: of the looks that the embedding is the mean of, in (0, 1]; 1 for one look.
        corroborated: looks at its track corroborate each other; it needs no second sighting. Not kept in rows: it
            counts when the face is placed.
    """

    key: int
    embedding: Embedding
    quality: float
    coherence: float = 1.0
    corroborated: bool = False

    @property
    def shrunk(self) -> Embedding:
        """(D,) float32: the embedding shortened by its coherence; distances between faces are then as of one look."""
        return shrunk(self.embedding, self.coherence)


@dataclass(frozen=True, slots=True)
class FaceRow:
    """A face as the store keeps it.

    Attributes:
        face: the face.
        group: that it belongs to.
        chunklet: that it belongs to; NO_CHUNKLET while no admin has said anything.
    """

    face: UnknownFace
    group: int
    chunklet: int = NO_CHUNKLET


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group as the store keeps it.

    Attributes:
        group: its number.
        known: False while it is a candidate, which nobody is shown; True from its promotion on, for ever.
    """

    group: int
    known: bool


@dataclass(frozen=True, slots=True)
class ClusterRows:
    """All that must be stored to make the clustering anew.

    Attributes:
        faces: every face, in any order.
        groups: every group that has faces, in any order.
        cannot_links: pairs of chunklets that are not one person.
        next_group: greater than the number of every group that there ever was.
        next_chunklet: greater than the number of every chunklet that there ever was.
    """

    faces: tuple[FaceRow, ...] = ()
    groups: tuple[GroupRow, ...] = ()
    cannot_links: tuple[tuple[int, int], ...] = ()
    next_group: int = 1
    next_chunklet: int = 1


@dataclass(frozen=True, slots=True)
class Regrouping:
    """A change of the clustering: what the store must write in one transaction, then `Clusters.apply`.

    Attributes:
        added: new faces; `moved` says to which groups.
        moved: (face, group): where each of these faces belongs from now on.
        removed: faces that are gone.
        started: groups that are new.
        promoted: groups that become known.
        ended: (group, group that takes its place): groups that have no faces any more. Whoever asks for the first is
            sent to the second; 0 where none takes its place.
        bound: (face, chunklet): chunklets of faces from now on.
        linked: pairs of chunklets with a new cannot-link, the smaller first.
        unlinked: pairs whose cannot-link is gone, the smaller first.
        examined: groups whose neighbourhood was looked at; not for the store.
    """

    added: tuple[UnknownFace, ...] = ()
    moved: tuple[tuple[int, int], ...] = ()
    removed: tuple[int, ...] = ()
    started: tuple[int, ...] = ()
    promoted: tuple[int, ...] = ()
    ended: tuple[tuple[int, int], ...] = ()
    bound: tuple[tuple[int, int], ...] = ()
    linked: tuple[tuple[int, int], ...] = ()
    unlinked: tuple[tuple[int, int], ...] = ()
    examined: tuple[int, ...] = ()

    @property
    def changes_anything(self) -> bool:
        """False when there is nothing for the store to write."""
        parts = (self.added, self.moved, self.removed, self.started, self.promoted, self.ended, self.bound)
        return any(parts) or bool(self.linked or self.unlinked)


class Placed(Enum):
    """What became of a new face."""

    JOINED = "joined"
    """It belongs to a known group."""
    PROMOTED = "promoted"
    """Its group became known with it: it is the second good sighting of a candidate, or it is corroborated."""
    WAITING = "waiting"
    """It belongs to a candidate: started one, or joined one without being good or near enough to promote it."""
    TOO_POOR = "too poor"
    """Its quality does not suffice for anything; it belongs nowhere and is not kept."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a new face belongs.

    Attributes:
        placed: what became of it.
        group: that it belongs to, known or a candidate; 0 when it is too poor.
        distance: mean squared L2 to the faces of the group as it was; None when it is alone.
        regrouping: to be written and applied; empty when the face is too poor.
    """

    placed: Placed
    group: int
    distance: float | None
    regrouping: Regrouping


@dataclass(frozen=True, slots=True)
class GroupView:
    """A group as it is now.

    Attributes:
        group: its number.
        known: False while it is a candidate.
        faces: keys of its faces, ascending.
        templates: keys of the diverse faces that stand for it in searches, ascending.
    """

    group: int
    known: bool
    faces: tuple[int, ...]
    templates: tuple[int, ...]
