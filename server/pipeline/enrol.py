"""Photographs of a person to templates: each photo is judged alone, then all together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from server.domain import EncodedImage, Faces, Image, Quality
from server.errors import ImageError
from server.identity.records import NewTemplate
from server.pipeline.vision import FaceVision
from server.vision.decode import ImageLimits, decode
from server.vision.jpeg import jpeg_of


class Refusal(Enum):
    """Why a photograph was refused."""

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
class EnrolmentRule:
    """What a photograph must show. A template misleads every later match, so this is stricter than recognition.

    Attributes:
        min_size_px: shorter side of the face's box. The FaceNet paper (table 4) loses half its VAL at 40 pixels.
        min_sharpness: standard deviation of the Laplacian of the aligned crop, grey levels.
        max_turn_deg: of yaw and pitch.
        min_brightness: mean grey level of the aligned crop.
        max_brightness: mean grey level of the aligned crop.
        min_detection_score: the detector's confidence, 0..1.
        bystander_ratio: a face smaller than this share of the largest one (side by side) is a bystander and ignored.
        store_crops: keep the aligned crop with the template, so that a person can be embedded anew by another model.
    """

    min_size_px: float = 48
    min_sharpness: float = 4
    max_turn_deg: float = 60
    min_brightness: float = 30
    max_brightness: float = 235
    min_detection_score: float = 0.6
    bystander_ratio: float = 0.33
    store_crops: bool = True


@dataclass(frozen=True, slots=True)
class Photo:
    """A photograph to enrol: what the client calls it, and its bytes."""

    source: str
    image: EncodedImage


@dataclass(frozen=True, slots=True)
class JudgedPhoto:
    """What became of a photograph.

    Attributes:
        source: the client's name for it.
        quality: of its face, when exactly one was found.
        refusal: why it was refused; None when it may become a template.
        message: the refusal in words, with what was seen and what is wanted; "" when accepted.
        template: for the gallery; None when refused.
    """

    source: str
    quality: Quality | None
    refusal: Refusal | None
    message: str
    template: NewTemplate | None

    def refused(self, refusal: Refusal, message: str) -> JudgedPhoto:
        """The same photograph, refused."""
        return JudgedPhoto(self.source, self.quality, refusal, message, None)


def judge(photo: Photo, vision: FaceVision, rule: EnrolmentRule, limits: ImageLimits) -> JudgedPhoto:
    """Whether one photograph is good enough, and its template when it is."""
    blank = JudgedPhoto(photo.source, None, None, "", None)
    try:
        image = decode(photo.image, limits)
    except ImageError as error:
        return blank.refused(Refusal.UNREADABLE, error.message)
    faces = without_bystanders(vision.detector.detect(image), rule.bystander_ratio)
    if len(faces) == 0:
        return blank.refused(Refusal.NO_FACE, "no face was found; use a photograph that shows the face from the front")
    if len(faces) > 1:
        return blank.refused(
            Refusal.MULTIPLE_FACES, f"{len(faces)} faces were found; cut the photograph so that it shows one"
        )
    return _judge_face(photo, image, faces, vision, rule)


def without_bystanders(faces: Faces, ratio: float) -> Faces:
    """The faces that are not much smaller than the largest one (which comes first)."""
    if len(faces) == 0:
        return faces
    sides = np.sqrt((faces.boxes[:, 2:] - faces.boxes[:, :2]).prod(axis=1))
    return faces.take(sides >= ratio * sides[0])


def _judge_face(photo: Photo, image: Image, faces: Faces, vision: FaceVision, rule: EnrolmentRule) -> JudgedPhoto:
    analysis = vision.analyse(image, faces)
    (quality,) = analysis.qualities
    judged = JudgedPhoto(photo.source, quality, None, "", None)
    weakness = find_weakness(quality, rule)
    if weakness:
        return judged.refused(*weakness)
    (embedding,) = vision.embedder.embed(analysis.crops, mirrored=True)
    template = NewTemplate(
        embedding=embedding,
        quality=quality,
        source=photo.source,
        photo_digest=hashlib.sha256(photo.image.data).hexdigest(),
        crop=jpeg_of(analysis.crops[0]) if rule.store_crops else b"",
    )
    return JudgedPhoto(photo.source, quality, None, "", template)


def find_weakness(quality: Quality, rule: EnrolmentRule) -> tuple[Refusal, str] | None:
    """The first way in which a face falls short of the rule, in words; None when it doesn't."""
    q = quality
    assert q.sharpness is not None, "a photograph's face has a crop"
    assert q.brightness is not None
    turn = max(abs(q.yaw_deg), abs(q.pitch_deg))
    checks = (
        (
            q.detection_score < rule.min_detection_score,
            Refusal.UNCERTAIN_FACE,
            f"the detector is {q.detection_score:.2f} sure of the face, {rule.min_detection_score:.2f} is wanted; "
            "use a clearer photograph",
        ),
        (
            q.size_px < rule.min_size_px,
            Refusal.TOO_SMALL,
            f"the face is {q.size_px:.0f} pixels wide, {rule.min_size_px:.0f} are wanted; use a closer photograph",
        ),
        (
            turn > rule.max_turn_deg,
            Refusal.TURNED_AWAY,
            f"the face is turned {turn:.0f} degrees away, {rule.max_turn_deg:.0f} are allowed; use a frontal one",
        ),
        (
            not rule.min_brightness <= q.brightness <= rule.max_brightness,
            Refusal.BADLY_LIT,
            f"the face's mean brightness is {q.brightness:.0f}, {rule.min_brightness:.0f} to "
            f"{rule.max_brightness:.0f} is wanted; use a better lit photograph",
        ),
        (
            q.sharpness < rule.min_sharpness,
            Refusal.TOO_BLURRED,
            f"the face's sharpness is {q.sharpness:.1f}, {rule.min_sharpness:.1f} is wanted; use a sharper photograph",
        ),
    )
    return next(((refusal, message) for weak, refusal, message in checks if weak), None)


def refuse_inconsistent(photos: Sequence[JudgedPhoto], threshold: float) -> list[JudgedPhoto]:
    """Refuses the photographs that do not show the person whom most of them show.

    That person is the medoid: the template with the smallest sum of distances to the others, the first on a tie.

    Args:
        photos: of one request; refused ones stay as they are.
        threshold: greatest distance to the medoid, squared L2.
    """
    accepted = [i for i, photo in enumerate(photos) if photo.template is not None]
    result = list(photos)
    if len(accepted) < 2:
        return result
    templates = [photo.template for photo in photos if photo.template is not None]
    embeddings = np.stack([template.embedding for template in templates])
    distances = np.maximum(0, 2 - 2 * embeddings @ embeddings.T)
    np.fill_diagonal(distances, 0)  # rounding must not decide between two
    medoid = int(np.argmin(distances.sum(axis=1)))
    for i, distance in zip(accepted, distances[medoid], strict=True):
        if distance > threshold:
            result[i] = result[i].refused(
                Refusal.INCONSISTENT,
                f"the face is {distance:.2f} away from the one in {templates[medoid].source!r}, {threshold:.2f} is "
                "allowed; enrol different people one by one",
            )
    return result
