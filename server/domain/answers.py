"""What is said of a face, and of a track."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from server.domain.faces import BestCrop, Embedding, Look
from server.domain.names import GalleryName


class UnknownReason(Enum):
    """Why a face got no name."""

    GALLERY_EMPTY = "gallery_empty"
    TOO_FAR = "too_far"
    AMBIGUOUS = "ambiguous"


class UndecidedReason(Enum):
    """Why the server does not say yet who it is."""

    LOW_QUALITY = "low_quality"
    MORE_FRAMES_NEEDED = "more_frames_needed"


@dataclass(frozen=True, slots=True)
class Match:
    """An enrolled person, recognised.

    Attributes:
        identity: resource name.
        display_name: the person's name.
        distance: to the person's nearest template, squared L2.
        threshold: the distance that had to be beaten, squared L2.
        margin: the second nearest person's distance minus `distance`; None while one person is enrolled.
        provisional: True while only one look at a track says so.
        confidence: calibrated probability that the name is right, 0..1; None when the embedder has no calibration.
    """

    identity: str
    display_name: str
    distance: float
    threshold: float
    margin: float | None
    provisional: bool = False
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """A face that is nobody in the gallery.

    Attributes:
        reason: why.
        distance: to the nearest person, squared L2; None when the gallery is empty.
        threshold: the distance that had to be beaten, squared L2.
        group: resource name of the group of unknown faces that it belongs to; empty while it belongs to none.
    """

    reason: UnknownReason
    distance: float | None
    threshold: float
    group: str = ""


@dataclass(frozen=True, slots=True)
class Undecided:
    """A face about which the server does not decide."""

    reason: UndecidedReason


Answer: TypeAlias = Match | Unknown | Undecided


@dataclass(frozen=True, slots=True)
class TrackReport:
    """One face followed through a camera's frames: what is known of it so far.

    Attributes:
        gallery: that it was matched against.
        camera: the camera's name.
        track: its name, unique over all streams and restarts.
        first_seen_ns: captured, wall clock, nanoseconds since the epoch.
        last_seen_ns: captured, wall clock, nanoseconds since the epoch.
        frames: in which it was seen.
        template: quality-weighted mean of its best embeddings, (D,) float32 of norm 1.
        coherence: how much the looks agree: norm of their mean before it was made 1, in (0, 1].
        looks: that the template is the mean of, at least one.
        best: the best look at it.
        answer: who it is: Match or Unknown.
        ended: no frame will follow.
    """

    gallery: GalleryName
    camera: str
    track: str
    first_seen_ns: int
    last_seen_ns: int
    frames: int
    template: Embedding
    coherence: float
    looks: tuple[Look, ...]
    best: BestCrop
    answer: Match | Unknown
    ended: bool
