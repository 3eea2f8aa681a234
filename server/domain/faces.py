"""Faces: where they are, how good they are, and the vectors that stand for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from server.domain.images import Image

Embedding: TypeAlias = NDArray[np.float32]
"""(D,) float32 with L2 norm 1."""

Embeddings: TypeAlias = NDArray[np.float32]
"""(N, D) float32, each row with L2 norm 1."""


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
        sharpness: standard deviation of the Laplacian of the aligned grey crop, grey levels. None while the face was
            seen at a glance only: nobody measured it.
        yaw_deg: head turn estimated from the landmarks, degrees, 0 frontal, positive to the picture's right.
        pitch_deg: head nod estimated from the landmarks, degrees, 0 frontal, positive looks down.
        roll_deg: tilt in the picture plane, degrees, clockwise positive.
        brightness: mean grey level of the aligned crop, 0..255. None as sharpness is.
        detection_score: the detector's confidence, 0..1.
    """

    score: float
    size_px: float
    sharpness: float | None
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    brightness: float | None
    detection_score: float


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
