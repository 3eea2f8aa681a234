"""What the server says of enrolled people, galleries and itself, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from clients.faces import Face, Quality


@dataclass(frozen=True, slots=True)
class Identity:
    """A person who is enrolled.

    Attributes:
        name: resource name, tenants/T/galleries/G/identities/I.
        display_name: the person's name as people read it.
        template_count: reference faces.
        created_at: when the person was enrolled, UTC.
        updated_at: when the person was last changed, UTC.
    """

    name: str
    display_name: str
    template_count: int
    created_at: datetime
    updated_at: datetime

    @property
    def id(self) -> str:
        """Last part of the resource name."""
        return self.name.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Template:
    """One reference face of a person."""

    id: str
    source: str
    quality: Quality
    created_at: datetime


@dataclass(frozen=True, slots=True)
class IdentityDetails:
    """A person and the person's templates, oldest first."""

    identity: Identity
    templates: tuple[Template, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrollee:
    """Who is to be enrolled: somebody new with a `display_name`, or somebody who is there already as `identity`.

    Attributes:
        display_name: of somebody new.
        identity: resource name of somebody who gets more photographs; "" for somebody new.
        gallery: resource name; "" means the server's default.
        allow_lookalikes: accept a face that is near enough to another person to be taken for them.
    """

    display_name: str = ""
    identity: str = ""
    gallery: str = ""
    allow_lookalikes: bool = False


class Refusal(StrEnum):
    """Why a photograph was refused."""

    UNSPECIFIED = "unspecified"
    UNREADABLE = "unreadable"
    NO_FACE = "no_face"
    MULTIPLE_FACES = "multiple_faces"
    TOO_SMALL = "too_small"
    TOO_BLURRED = "too_blurred"
    TURNED_AWAY = "turned_away"
    BADLY_LIT = "badly_lit"
    UNCERTAIN_FACE = "uncertain_face"
    DUPLICATE = "duplicate"
    SOMEBODY_ELSE = "somebody_else"
    INCONSISTENT = "inconsistent"


@dataclass(frozen=True, slots=True)
class PhotoOutcome:
    """What became of one photograph.

    Attributes:
        source: the name that the client gave it.
        accepted: True when it became a template.
        refusal: why not; UNSPECIFIED when it was accepted.
        message: the refusal in words.
        quality: the face's quality; None unless exactly one face was found.
    """

    source: str
    accepted: bool
    refusal: Refusal
    message: str
    quality: Quality | None


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What came of an enrolment: the person as it is now, and one outcome per photograph."""

    identity: Identity
    photos: tuple[PhotoOutcome, ...]
    gallery_revision: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a deletion removed."""

    name: str
    template_count: int
    deleted_at: datetime
    gallery_revision: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A person and how near the person's nearest template is."""

    identity: Identity
    distance: float
    template_id: str
    within_threshold: bool


@dataclass(frozen=True, slots=True)
class FaceCandidates:
    """One face of a photograph and the people nearest to it, the nearest first."""

    face: Face
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The people nearest to each face of a photograph, the largest face first."""

    faces: tuple[FaceCandidates, ...]
    threshold: float
    gallery_revision: int


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether two photographs show the same person: `distance` is at most `threshold`."""

    same: bool
    distance: float
    threshold: float
    target_far: float
    first_face: Face
    second_face: Face


@dataclass(frozen=True, slots=True)
class EmbeddedFace:
    """A face and its L2-normalised embedding. Embeddings of different fingerprints must not be compared."""

    face: Face
    embedding: tuple[float, ...]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class GalleryStatistics:
    """Numbers about one gallery.

    Attributes:
        gallery: resource name.
        identity_count: people.
        template_count: reference faces in all.
        revision: goes up by one with every change.
        fingerprint: what the templates are pinned to; "" while the gallery is empty.
        threshold: at the default false accept rate and this size.
        target_far: the default false accept rate.
        index_base_count: templates in the index's immutable base.
        index_delta_count: templates added since, searched exactly.
    """

    gallery: str
    identity_count: int
    template_count: int
    revision: int
    fingerprint: str
    threshold: float
    target_far: float
    index_base_count: int
    index_delta_count: int


@dataclass(frozen=True, slots=True)
class RuntimeTrial:
    """A runtime that the server compared with others for a model.

    Attributes:
        runtime: its name in the server's settings.
        passed: whether it answers what the reference answers.
        finding: what was compared and what came out.
        cpu_ms: processor time of a picture in milliseconds; 0 when it didn't pass.
    """

    runtime: str
    passed: bool
    finding: str
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that the server runs, with what and why; `runtimes` are those that were compared."""

    kind: str
    model: str
    sha256: str
    licence: str
    backend: str
    backend_reason: str = ""
    runtimes: tuple[RuntimeTrial, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What the server accepts."""

    image_bytes: int
    image_pixels: int
    enrolment_photos: int
    streams: int


@dataclass(frozen=True, slots=True)
class ServerDescription:
    """What runs where, and within which limits.

    Of a server with several `workers`, that is processes, one answers: `open_streams` and `limits` are its own.
    Unless it `keeps_sightings`, nobody who passes is added to the sightings and unknown people.
    """

    version: str
    models: tuple[LoadedModel, ...]
    fingerprint: str
    limits: ServerLimits
    uptime_s: float
    open_streams: int
    target_far: float
    workers: int = 1
    keeps_sightings: bool = True


class Health(StrEnum):
    """What grpc.health.v1 says of the server."""

    UNKNOWN = "unknown"
    SERVING = "serving"
    NOT_SERVING = "not_serving"


@dataclass(frozen=True, slots=True)
class Status:
    """Whether the server serves, what it is, and the numbers of one gallery."""

    health: Health
    server: ServerDescription
    gallery: GalleryStatistics
