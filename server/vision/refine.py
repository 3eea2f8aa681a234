"""Better landmarks for the faces that were found: a second detector looks at each face alone, in a small window.

A fast detector that sees the whole picture places landmarks a little worse than a slower one, and alignment decides
how good an embedding is. In a window of fixed size the slower one costs little, and every face has the size that it
knows best.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from server.domain import Faces, Image
from server.vision.align import warp


def windows(faces: Faces, *, side: int, margin: float) -> NDArray[np.float64]:
    """The matrices from image to window: each a square around a face, scaled to one size.

    Args:
        faces: N faces in pixels of the image.
        side: of a window, pixels.
        margin: side of the square in the image over the longer side of the face's box.

    Returns:
        (N, 2, 3) float64.
    """
    centres = (faces.boxes[:, :2] + faces.boxes[:, 2:]).astype(np.float64) / 2
    extent = np.maximum((faces.boxes[:, 2:] - faces.boxes[:, :2]).max(axis=1), 1.0) * margin
    scale = side / extent
    matrices = np.zeros((len(faces), 2, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = scale
    matrices[:, :, 2] = side / 2 - scale[:, None] * centres
    return matrices


def cut(image: Image, matrices: NDArray[np.float64], *, side: int) -> NDArray[np.uint8]:
    """What the windows show: (N, side, side, 3) uint8 BGR, black beyond the image."""
    shown = np.zeros((len(matrices), side, side, 3), np.uint8)
    for window, matrix in zip(shown, matrices, strict=True):
        warp(image, matrix, window)
    return shown


def refined(faces: Faces, matrices: NDArray[np.float64], found: Sequence[Faces]) -> Faces:
    """The faces with the landmarks that were found in their windows.

    Of several faces in a window the one whose landmarks lie nearest to the first ones counts. A face that was not
    found again, or only elsewhere (further off than a third of its box), keeps its landmarks.

    Args:
        faces: N faces in pixels of the image.
        matrices: (N, 2, 3) float64, image to window.
        found: N times the faces of a window, in pixels of the window.
    """
    landmarks = faces.landmarks.copy()
    for i, (matrix, inside) in enumerate(zip(matrices, found, strict=True)):
        if len(inside) == 0:
            continue
        points = (inside.landmarks - matrix[:, 2]) / matrix[0, 0]
        away = np.linalg.norm(points - landmarks[i], axis=2).mean(axis=1)
        nearest = int(np.argmin(away))
        if away[nearest] * 3 <= (faces.boxes[i, 2:] - faces.boxes[i, :2]).max():
            landmarks[i] = points[nearest]
    return Faces(faces.boxes, landmarks, faces.scores)
