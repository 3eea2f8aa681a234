"""What the server says of faces, as frozen values.

Points and boxes are in pixels, x to the right and y down from the outer corner of the top left pixel. Distances are
squared L2 between L2-normalised embeddings: 0 (same) to 4 (opposite), smaller is nearer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

Point: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned rectangle in pixels."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Landmarks:
    """The five points of a face; left and right are sides of the picture, not of the person."""

    left_eye: Point
    right_eye: Point
    nose: Point
    mouth_left: Point
    mouth_right: Point


@dataclass(frozen=True, slots=True)
class Quality:
    """How fit a face is for recognition, measured on the picture that the server saw.

    Attributes:
        score: 0 (useless) .. 1 (good for enrolment).
        size_px: shorter side of the box.
        sharpness: standard deviation of the Laplacian of the grey crop, grey levels; None until the server has looked
            closely at the face, which for some faces of a stream it has not yet.
        yaw_deg: head turn, 0 frontal, positive to the picture's right.
        pitch_deg: head nod, 0 frontal, positive looks down.
        roll_deg: tilt in the picture plane, clockwise positive.
        brightness: mean grey level of the crop, 0..255; None as sharpness is.
    """

    score: float
    size_px: float
    sharpness: float | None
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    brightness: float | None


class UnknownReason(StrEnum):
    """Why a face got no name."""

    UNSPECIFIED = "unspecified"
    GALLERY_EMPTY = "gallery_empty"
    TOO_FAR = "too_far"
    AMBIGUOUS = "ambiguous"


class UndecidedReason(StrEnum):
    """Why the server does not say yet who it is."""

    UNSPECIFIED = "unspecified"
    LOW_QUALITY = "low_quality"
    MORE_FRAMES_NEEDED = "more_frames_needed"


@dataclass(frozen=True, slots=True)
class Match:
    """Somebody who is enrolled.

    Attributes:
        identity: resource name.
        display_name: as the server has it; `clients.text.printable` makes it safe for terminals.
        distance: to the nearest template of this person.
        threshold: the distance that had to be beaten.
        margin: distance of the second nearest person minus `distance`; None while one person is enrolled.
        confidence: calibrated probability 0..1 that the name is right; None without a calibration.
        provisional: True while only one look at a track says so, and the name may still go.
    """

    identity: str
    display_name: str
    distance: float
    threshold: float
    margin: float | None
    confidence: float | None
    provisional: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody who is enrolled.

    Attributes:
        group: resource name of the group of unknown faces that this one belongs to; "" while faces aren't grouped.
        reason: why the face got no name.
        distance: to the nearest person; None when nobody is enrolled.
        threshold: the distance that had to be beaten.
    """

    group: str
    reason: UnknownReason
    distance: float | None
    threshold: float


@dataclass(frozen=True, slots=True)
class Undecided:
    """The server does not say."""

    reason: UndecidedReason


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The call was not about who it is (verify, embed), or the answer is of a kind that this client doesn't know."""


Answer: TypeAlias = Match | Unknown | Undecided | Unanswered


@dataclass(frozen=True, slots=True)
class Face:
    """One face.

    Attributes:
        box: where it is.
        landmarks: its five points.
        detection_score: the detector's confidence, 0..1.
        quality: how fit it is for recognition.
        track: id of its track, unique within the stream; "" where nothing is tracked.
        answer: who it is.
    """

    box: Box
    landmarks: Landmarks
    detection_score: float
    quality: Quality
    track: str
    answer: Answer

    def scaled(self, x: float, y: float) -> Face:
        """The same face in a picture that is `x` times as wide and `y` times as high."""
        box = Box(self.box.left * x, self.box.top * y, self.box.width * x, self.box.height * y)
        points = self.landmarks
        landmarks = Landmarks(
            *(
                (px * x, py * y)
                for px, py in (points.left_eye, points.right_eye, points.nose, points.mouth_left, points.mouth_right)
            )
        )
        return replace(self, box=box, landmarks=landmarks)
