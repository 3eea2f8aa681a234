"""The values that flow through the server: frozen, validated once, at construction.

Arrays are never written to after construction. Images are BGR. Points and boxes are in pixels of the decoded image
after its EXIF orientation, x to the right and y down. Distances are squared L2 between L2-normalised embeddings
(0..4, smaller is nearer), as in FaceNet (Schroff et al. 2015, section 3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from server.errors import InvalidInputError

Image: TypeAlias = NDArray[np.uint8]
"""(H, W, 3) uint8, BGR."""

Embedding: TypeAlias = NDArray[np.float32]
"""(D,) float32 with L2 norm 1."""

Embeddings: TypeAlias = NDArray[np.float32]
"""(N, D) float32, each row with L2 norm 1."""


class Codec(Enum):
    """How the bytes of an image are encoded."""

    UNSPECIFIED = "unspecified"
    JPEG = "jpeg"
    PNG = "png"
    BGR24 = "bgr24"
    H264 = "h264"
    HEVC = "hevc"

    @property
    def is_video(self) -> bool:
        """Whether it codes a picture as a change of the pictures before it: such an image means nothing alone."""
        return self in (Codec.H264, Codec.HEVC)


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An image as it came: nothing in it has been checked yet.

    Attributes:
        codec: the declared encoding; UNSPECIFIED lets the first bytes decide between JPEG and PNG. With a video codec
            it is a packet of a stream.
        data: the bytes.
        width: pixels per row; meaningful for BGR24 only.
        height: rows; meaningful for BGR24 only.
        decoded_here: the pixels of a packet that this server decoded, within its limits of video. How many bytes a
            client may send does not matter for them.
    """

    codec: Codec
    data: bytes
    width: int = 0
    height: int = 0
    decoded_here: bool = False


class ColourOrder(Enum):
    """Order of the three channels that a network wants."""

    RGB = "RGB"
    BGR = "BGR"


@dataclass(frozen=True, slots=True)
class PixelSpec:
    """How pixels become a network's input: (value - mean) / std per channel.

    Attributes:
        colour: order of the channels; `mean` and `std` are in this order.
        mean: three values in grey levels 0..255.
        std: three values in grey levels, none of them 0.
    """

    colour: ColourOrder
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


class Decoding(Enum):
    """How a detector's output tensors become faces; it fixes their order.

    YUNET: cls_8, cls_16, cls_32, obj_8, obj_16, obj_32, bbox_8, bbox_16, bbox_32, kps_8, kps_16, kps_32, each
    (N, cells, 1 | 1 | 4 | 10) with the cells of the stride row by row.
    CENTERFACE: heat map (N, 1, h, w), log-scale (N, 2, h, w), offset (N, 2, h, w), landmarks (N, 10, h, w), where h
    and w are a quarter of the input's.
    """

    YUNET = "yunet"
    CENTERFACE = "centerface"


@dataclass(frozen=True, slots=True)
class AlignmentTemplate:
    """Where the five landmarks lie in an aligned crop.

    Attributes:
        width: of the crop, pixels.
        height: of the crop, pixels.
        points: five (x, y) in pixels of the crop, in the order of `Faces.landmarks`.
    """

    width: int
    height: int
    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if len(self.points) != 5 or any(len(point) != 2 for point in self.points):
            raise ValueError(f"an alignment template has five (x, y) points, not {self.points}")


@dataclass(frozen=True, slots=True)
class Faces:
    """The faces of one image, as a struct of arrays.

    Attributes:
        boxes: (N, 4) float32, left, top, right, bottom in pixels.
        landmarks: (N, 5, 2) float32, x and y in pixels: the eye on the left of the picture, the eye on the right,
            nose tip, left mouth corner, right mouth corner.
        scores: (N,) float32, the detector's confidence, 0..1.

    Raises:
        ValueError: when the shapes don't agree.
    """

    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        n = len(self.scores)
        shapes = (self.boxes.shape, self.landmarks.shape, self.scores.shape)
        if shapes != ((n, 4), (n, 5, 2), (n,)):
            raise ValueError(f"boxes, landmarks, scores of shapes {shapes} don't agree")

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Faces:
        """The faces that an index array or a mask picks."""
        return Faces(self.boxes[index], self.landmarks[index], self.scores[index])

    def scaled(self, factor: float) -> Faces:
        """The same faces in a picture that is so many times as large."""
        if factor == 1:
            return self
        return Faces(
            (self.boxes * factor).astype(np.float32), (self.landmarks * factor).astype(np.float32), self.scores
        )

    @staticmethod
    def none() -> Faces:
        """No faces."""
        return Faces(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))


@dataclass(frozen=True, slots=True)
class Quality:
    """How fit a face is for recognition.

    Attributes:
        score: 0 (useless) .. 1 (good for enrolment), the weakest of the scaled factors.
        size_px: shorter side of the box in pixels.
        sharpness: standard deviation of the Laplacian of the aligned grey crop, grey levels.
        yaw_deg: head turn estimated from the landmarks, degrees, 0 frontal, positive to the picture's right.
        pitch_deg: head nod estimated from the landmarks, degrees, 0 frontal, positive looks down.
        roll_deg: tilt in the picture plane, degrees, clockwise positive.
        brightness: mean grey level of the aligned crop, 0..255.
        detection_score: the detector's confidence, 0..1.
    """

    score: float
    size_px: float
    sharpness: float
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    brightness: float
    detection_score: float


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A distance threshold and what it was measured to do.

    Attributes:
        far: false accept rate of one comparison of two different people, in (0, 1).
        distance: the threshold, squared L2; a comparison is accepted when its distance is at most this.
        val: share of comparisons of one person that are accepted (validation rate), 0..1.
    """

    far: float
    distance: float
    val: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How distances become probabilities; `server.identity.confidence` has the formula.

    Attributes:
        intercept: log-odds at distance 0 among one template.
        distance: log-odds per unit of squared L2; negative.
        log_templates: log-odds per unit of the natural logarithm of the number of templates; at most 0.
    """

    intercept: float
    distance: float
    log_templates: float


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
class BestCrop:
    """The best look at a face.

    Attributes:
        pixels: (H, W, 3) uint8 BGR, aligned for the embedder.
        quality: of the face.
        taken_at_ns: when the frame was captured, wall clock, nanoseconds since the epoch.
    """

    pixels: Image
    quality: Quality
    taken_at_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """One embedded look at a face.

    Attributes:
        embedding: (D,) float32 of norm 1.
        quality: 0..1.
        at_ns: when, in nanoseconds of the camera that never go back.
    """

    embedding: Embedding
    quality: float
    at_ns: int


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
    looks: tuple[Look, ...]
    best: BestCrop
    answer: Match | Unknown
    ended: bool


_ID = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_GALLERY = re.compile(rf"tenants/({_ID})/galleries/({_ID})")
_IDENTITY = re.compile(rf"(tenants/{_ID}/galleries/{_ID})/identities/({_ID})")
_UNKNOWN = re.compile(rf"(tenants/{_ID}/galleries/{_ID})/unknowns/({_ID})")
_NUMBERED = re.compile(rf"(tenants/{_ID}/galleries/{_ID})/(sightings|operations)/([1-9][0-9]{{0,17}})")


@dataclass(frozen=True, slots=True)
class GalleryName:
    """Resource name of a gallery: tenants/T/galleries/G."""

    tenant: str = "default"
    gallery: str = "default"

    def __str__(self) -> str:
        return f"tenants/{self.tenant}/galleries/{self.gallery}"

    def identity(self, identity_id: str) -> str:
        """Resource name of an identity of this gallery."""
        return f"{self}/identities/{identity_id}"

    def unknown(self, unknown_id: str) -> str:
        """Resource name of a group of unknown faces of this gallery."""
        return f"{self}/unknowns/{unknown_id}"

    def sighting(self, key: int) -> str:
        """Resource name of a sighting of this gallery."""
        return f"{self}/sightings/{key}"

    def operation(self, key: int) -> str:
        """Resource name of an admin's operation on this gallery."""
        return f"{self}/operations/{key}"

    @staticmethod
    def parse(text: str, field: str = "gallery") -> GalleryName:
        """Reads a resource name; an empty text is the default gallery.

        Raises:
            InvalidInputError: when the text is no gallery's resource name.
        """
        if not text:
            return GalleryName()
        found = _GALLERY.fullmatch(text)
        if not found:
            raise InvalidInputError(
                "RESOURCE_NAME_INVALID",
                f"{text[:100]!r} is no gallery; write tenants/T/galleries/G with ids of 1 to 63 characters a-z, 0-9 "
                "and '-'",
                field=field,
            )
        return GalleryName(found[1], found[2])


@dataclass(frozen=True, slots=True)
class IdentityName:
    """Resource name of an identity: tenants/T/galleries/G/identities/I."""

    gallery: GalleryName
    identity_id: str

    def __str__(self) -> str:
        return self.gallery.identity(self.identity_id)

    @staticmethod
    def parse(text: str, field: str = "name") -> IdentityName:
        """Reads a resource name.

        Raises:
            InvalidInputError: when the text is no identity's resource name.
        """
        found = _IDENTITY.fullmatch(text)
        if not found:
            raise InvalidInputError(
                "RESOURCE_NAME_INVALID",
                f"{text[:100]!r} is no identity; write tenants/T/galleries/G/identities/I as the list shows it",
                field=field,
            )
        return IdentityName(GalleryName.parse(found[1]), found[2])


@dataclass(frozen=True, slots=True)
class UnknownName:
    """Resource name of a group of unknown faces: tenants/T/galleries/G/unknowns/U."""

    gallery: GalleryName
    unknown_id: str

    def __str__(self) -> str:
        return self.gallery.unknown(self.unknown_id)

    @staticmethod
    def parse(text: str, field: str = "name") -> UnknownName:
        """Reads a resource name.

        Raises:
            InvalidInputError: when the text is no unknown's resource name.
        """
        found = _UNKNOWN.fullmatch(text)
        if not found:
            raise _invalid_name(text, "unknown", "unknowns/U", field)
        return UnknownName(GalleryName.parse(found[1]), found[2])


@dataclass(frozen=True, slots=True)
class SightingName:
    """Resource name of a sighting: tenants/T/galleries/G/sightings/S."""

    gallery: GalleryName
    key: int

    def __str__(self) -> str:
        return self.gallery.sighting(self.key)

    @staticmethod
    def parse(text: str, field: str = "name") -> SightingName:
        """Reads a resource name.

        Raises:
            InvalidInputError: when the text is no sighting's resource name.
        """
        found = _NUMBERED.fullmatch(text)
        if not found or found[2] != "sightings":
            raise _invalid_name(text, "sighting", "sightings/S", field)
        return SightingName(GalleryName.parse(found[1]), int(found[3]))


@dataclass(frozen=True, slots=True)
class OperationName:
    """Resource name of an operation: tenants/T/galleries/G/operations/O."""

    gallery: GalleryName
    key: int

    def __str__(self) -> str:
        return self.gallery.operation(self.key)

    @staticmethod
    def parse(text: str, field: str = "name") -> OperationName:
        """Reads a resource name.

        Raises:
            InvalidInputError: when the text is no operation's resource name.
        """
        found = _NUMBERED.fullmatch(text)
        if not found or found[2] != "operations":
            raise _invalid_name(text, "operation", "operations/O", field)
        return OperationName(GalleryName.parse(found[1]), int(found[3]))


def _invalid_name(text: str, kind: str, form: str, field: str) -> InvalidInputError:
    return InvalidInputError(
        "RESOURCE_NAME_INVALID",
        f"{text[:100]!r} is no {kind}; write tenants/T/galleries/G/{form} as the list shows it",
        field=field,
    )
