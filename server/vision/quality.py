"""How fit a face is for recognition: size, sharpness, light, pose and the detector's confidence."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from server.domain import Faces, Quality

_FACE_MODEL = np.asarray(
    [[-0.5, -0.5, 0.0], [0.5, -0.5, 0.0], [0.0, 0.07, 0.42], [-0.41, 0.6, 0.05], [0.41, 0.6, 0.05]]
)
"""Five landmarks of an average face, units of the distance between the eyes: x right, y down, z to the viewer.

x and y are the proportions of the common 112x112 alignment template; z is a nose 27 mm before eyes 64 mm apart
(anthropometric means).
"""

_CENTRED_MODEL = _FACE_MODEL - _FACE_MODEL.mean(axis=0)
_TO_CAMERA = np.linalg.pinv(_CENTRED_MODEL)


@dataclass(frozen=True, slots=True)
class QualityScale:
    """Where a factor starts to count (0) and where more doesn't help (1).

    Attributes:
        size_px: shorter side of the box; the FaceNet paper (table 4) loses little above 80 and much below 40.
        sharpness: standard deviation of the Laplacian, grey levels.
        turn_deg: the greater of |yaw| and |pitch|: 1 up to the first, 0 from the second on.
        brightness: mean grey level: (0 below, 1 from, 1 up to, 0 above).
        detection_score: the detector's confidence.
    """

    size_px: tuple[float, float] = (16, 80)
    sharpness: tuple[float, float] = (2, 12)
    turn_deg: tuple[float, float] = (20, 75)
    brightness: tuple[float, float, float, float] = (15, 60, 200, 250)
    detection_score: tuple[float, float] = (0.3, 0.8)


@dataclass(frozen=True, slots=True)
class Legibility:
    """What a face must show to be compared with anybody at all.

    Measured with SFace on LFW, made worse step by step: below these values a face is no longer within the threshold of
    its own original (at 12 pixels 98.6 % are, at 8 pixels 30 %; at a sharpness of 1.7 98.1 %, at 1.5 23 %; at a
    brightness of 5 96 %), so that "unknown" would say nothing. False accepts become fewer, not more, on the way there,
    and turned heads (to 60 degrees) have as many as frontal ones, so that pose is no reason.

    Attributes:
        min_size_px: shorter side of the box; the measured 12 and a margin, since landmarks suffer too.
        min_sharpness: standard deviation of the Laplacian of the aligned grey crop, grey levels.
        min_brightness: mean grey level of the aligned crop.
    """

    min_size_px: float = 16
    min_sharpness: float = 1.7
    min_brightness: float = 5

    def holds(self, quality: Quality) -> bool:
        """Whether a face of this quality can be compared; one without a crop can't."""
        return (
            quality.size_px >= self.min_size_px
            and quality.sharpness is not None
            and quality.sharpness >= self.min_sharpness
            and quality.brightness is not None
            and quality.brightness >= self.min_brightness
        )


def assess(faces: Faces, crops: NDArray[np.uint8], scale: QualityScale) -> list[Quality]:
    """The quality of each face.

    Args:
        faces: N faces in pixels of the image.
        crops: (N, H, W, 3) uint8 BGR, aligned.
        scale: what the score means.
    """
    sizes = np.minimum(faces.boxes[:, 2] - faces.boxes[:, 0], faces.boxes[:, 3] - faces.boxes[:, 1])
    return [
        _one(size, angles, crop, score, scale)
        for size, angles, crop, score in zip(
            sizes.tolist(), poses(faces.landmarks), crops, faces.scores.tolist(), strict=True
        )
    ]


def at_a_glance(faces: Faces, scale: QualityScale) -> list[Quality]:
    """The quality of faces without their crops.

    Light and sharpness, which only a close look shows, are not known and lower no score.

    Args:
        faces: N faces in pixels of the image.
        scale: what the score means.
    """
    sizes = np.minimum(faces.boxes[:, 2] - faces.boxes[:, 0], faces.boxes[:, 3] - faces.boxes[:, 1])
    return [
        _quality(size, None, angles, None, score, scale)
        for size, angles, score in zip(sizes.tolist(), poses(faces.landmarks), faces.scores.tolist(), strict=True)
    ]


def remembering(glance: Quality, look: Quality, scale: QualityScale) -> Quality:
    """The quality of a face that is followed: as it is seen at a glance, in the light and sharpness of its last look.

    Args:
        glance: what `at_a_glance` says of it now.
        look: what was said of it after an earlier look.
        scale: what the score means.
    """
    angles = (glance.yaw_deg, glance.pitch_deg, glance.roll_deg)
    return _quality(glance.size_px, look.sharpness, angles, look.brightness, glance.detection_score, scale)


def _one(
    size: float,
    angles: tuple[float, float, float],
    crop: NDArray[np.uint8],
    detection_score: float,
    scale: QualityScale,
) -> Quality:
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    sharpness = float(cv2.Laplacian(grey, cv2.CV_32F).std())
    brightness = float(grey.mean())
    return _quality(size, sharpness, angles, brightness, detection_score, scale)


def _quality(
    size: float,
    sharpness: float | None,
    angles: tuple[float, float, float],
    brightness: float | None,
    detection_score: float,
    scale: QualityScale,
) -> Quality:
    yaw, pitch, roll = angles
    turn = max(abs(yaw), abs(pitch))
    factors = (
        _ramp(size, *scale.size_px),
        1.0 if sharpness is None else _ramp(sharpness, *scale.sharpness),
        1 - _ramp(turn, *scale.turn_deg),
        1.0 if brightness is None else _light(brightness, scale),
        _ramp(detection_score, *scale.detection_score),
    )
    return Quality(
        score=min(factors),
        size_px=size,
        sharpness=sharpness,
        yaw_deg=yaw,
        pitch_deg=pitch,
        roll_deg=roll,
        brightness=brightness,
        detection_score=detection_score,
    )


def _light(brightness: float, scale: QualityScale) -> float:
    dark, dim, bright, glaring = scale.brightness
    return min(_ramp(brightness, dark, dim), 1 - _ramp(brightness, bright, glaring))


def _ramp(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))


def poses(landmarks: NDArray[np.float32]) -> list[tuple[float, float, float]]:
    """Yaw, pitch and roll of each face in degrees, estimated from five landmarks.

    A scaled orthographic camera (DeMenthon & Davis 1995, the first step of POSIT) over an average face: exact
    for that face, some ten degrees off for others; it tells frontal from profile, no more. Landmarks on one spot, in
    which there is nothing to recognise, count as turned by 90 degrees.

    Args:
        landmarks: (N, 5, 2) float32, pixels.
    """
    centred = landmarks.astype(np.float64) - landmarks.mean(axis=1, keepdims=True, dtype=np.float64)
    camera = _TO_CAMERA @ centred
    right, down = camera[..., 0], camera[..., 1]
    lengths = np.sqrt((camera**2).sum(axis=1))
    flat = lengths.min(axis=1) == 0
    right, down = (
        axis / np.where(flat, 1, length)[:, None] for axis, length in zip((right, down), lengths.T, strict=True)
    )
    yaw = np.degrees(np.arcsin(np.clip(right[:, 2], -1, 1)))
    pitch = np.degrees(np.arcsin(np.clip(down[:, 2], -1, 1)))
    roll = np.degrees(np.arctan2(down[:, 0] - right[:, 1], right[:, 0] + down[:, 1]))
    angles = np.where(flat[:, None], (90.0, 90.0, 0.0), np.stack([yaw, pitch, roll], axis=1))
    return [(y, p, r) for y, p, r in angles.tolist()]
