"""What goes into a gallery and what comes out of it. Times are wall-clock nanoseconds since the epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from server.domain import Embedding, Quality
from server.identity.doctor import Checkup
from server.identity.match import Candidate


@dataclass(frozen=True, slots=True)
class NewTemplate:
    """A reference face to add.

    Attributes:
        embedding: (D,) float32 of norm 1.
        quality: of the face.
        source: name of the photograph as the client gave it; may be empty.
        photo_digest: SHA-256 of the image's bytes in hex; empty when unknown.
        crop: JPEG of the aligned face; empty when it is not kept.
        coherence: of the looks that the embedding is the mean of, in (0, 1]; 1 for a photograph.
    """

    embedding: Embedding
    quality: Quality
    source: str = ""
    photo_digest: str = ""
    crop: bytes = b""
    coherence: float = 1.0


@dataclass(frozen=True, slots=True)
class NewPerson:
    """A person to add in bulk."""

    display_name: str
    templates: tuple[NewTemplate, ...]


@dataclass(frozen=True, slots=True)
class RequestStamp:
    """What makes a write repeatable.

    Attributes:
        request_id: chosen by the client; empty when the write need not be repeatable.
        digest: of the request's content; the same id with another digest is refused.
        payload: kept with the answer and given back with it.
    """

    request_id: str = ""
    digest: str = ""
    payload: bytes = b""


UNSTAMPED = RequestStamp()
"""A write that cannot be repeated."""


@dataclass(frozen=True, slots=True)
class Identity:
    """An enrolled person.

    Attributes:
        name: resource name.
        display_name: the person's name, in NFC.
        template_count: how many templates the person has.
        created_at_ns: when the person was enrolled.
        updated_at_ns: when the person was last changed.
    """

    name: str
    display_name: str
    template_count: int
    created_at_ns: int
    updated_at_ns: int


@dataclass(frozen=True, slots=True)
class Template:
    """A reference face, without its embedding.

    Attributes:
        template_id: unique in the data directory, never used twice.
        source: name of the photograph.
        quality: of the face.
        photo_digest: SHA-256 of the image's bytes in hex; may be empty.
        created_at_ns: when it was added.
    """

    template_id: str
    source: str
    quality: Quality
    photo_digest: str
    created_at_ns: int


@dataclass(frozen=True, slots=True)
class IdentityDetails:
    """An enrolled person and the person's templates, oldest first."""

    identity: Identity
    templates: tuple[Template, ...]


@dataclass(frozen=True, slots=True)
class IdentityPage:
    """Some identities in the order of their creation.

    Attributes:
        identities: the page.
        next_page_token: asks for the next one; empty when this is the last.
    """

    identities: tuple[Identity, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class EnrolReceipt:
    """An enrolment that is durable and visible.

    Attributes:
        identity: the person as the enrolment left it.
        template_ids: the new templates, in the order in which they were given.
        revision: the gallery's, with the change.
        payload: the request stamp's.
        replayed: True when an earlier request with the same id did it.
    """

    identity: Identity
    template_ids: tuple[str, ...]
    revision: int
    payload: bytes = b""
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class RenameReceipt:
    """A renaming that is durable and visible; attributes as in `EnrolReceipt`."""

    identity: Identity
    revision: int
    payload: bytes = b""
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class DeletionReceipt:
    """A removal that is durable and visible.

    Attributes:
        name: resource name of the person who is gone.
        template_count: how many templates went too.
        deleted_at_ns: when.
        revision: the gallery's, with the change.
        payload: the request stamp's.
        replayed: True when an earlier request with the same id did it.
        sighting_count: how many sightings of the person went too.
    """

    name: str
    template_count: int
    deleted_at_ns: int
    revision: int
    payload: bytes = b""
    replayed: bool = False
    sighting_count: int = 0


@dataclass(frozen=True, slots=True)
class BulkReceipt:
    """People who were added in bulk.

    Attributes:
        names: resource names in the order of the people.
        revision: the gallery's, with the last of them.
    """

    names: tuple[str, ...]
    revision: int


@dataclass(frozen=True, slots=True)
class GallerySearch:
    """The nearest people to some faces, all from one state of the gallery.

    Attributes:
        candidates: per query, nearest first, one per person.
        revision: of that state.
        identity_count: people in it.
        template_count: templates in it.
    """

    candidates: tuple[tuple[Candidate, ...], ...]
    revision: int
    identity_count: int
    template_count: int


@dataclass(frozen=True, slots=True)
class GalleryStatistics:
    """Numbers about one gallery.

    Attributes:
        gallery: resource name.
        identity_count: people.
        template_count: templates in all.
        revision: goes up by one with every change; 0 for a gallery that never had one.
        fingerprint: of the model that made the embeddings; empty while nobody is enrolled.
        index_base_count: templates in the index's graph; 0 while the gallery is searched exactly.
        index_delta_count: templates compared one by one beside the graph.
        index_width: candidates that the graph keeps while searching; 0 without a graph.
        index_recall: share of measured probes whose nearest template the graph found; 1 without a graph.
        index_problem: the last trouble with building, reading or writing the index; empty when there was none.
    """

    gallery: str
    identity_count: int = 0
    template_count: int = 0
    revision: int = 0
    fingerprint: str = ""
    index_base_count: int = 0
    index_delta_count: int = 0
    index_width: int = 0
    index_recall: float = 1.0
    index_problem: str = ""


class ChangeKind(Enum):
    """What happened to an identity."""

    ENROLLED = "enrolled"
    RENAMED = "renamed"
    DELETED = "deleted"
    REVISED = "revised"
    """Templates were taken away, or it was said who the person is not."""


@dataclass(frozen=True, slots=True)
class GalleryCheck:
    """A checkup with the people in it.

    Attributes:
        checkup: what was found, people and templates by their keys.
        people: (resource name, display name) of the people in the findings, by key.
        revision: of the gallery that was looked at.
    """

    checkup: Checkup
    people: Mapping[int, tuple[str, str]]
    revision: int
