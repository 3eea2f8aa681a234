"""Whether a face in this picture looks like one in the picture before: far cheaper than an embedding, and far weaker.

It tells that a tracked face is still the same face a moment later, and notices when a cut or a passer-by has put
another one in its place. It says nothing about who somebody is.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from server.domain import AlignmentTemplate, Faces, Image
from server.vision.align import align

_SIDE = 40
_SLACK = 6
"""Landmarks of small faces tremble; the older glance is looked for within so many pixels of its place."""

_TEMPLATE = AlignmentTemplate(_SIDE, _SIDE, ((14.9, 18.8), (25.1, 18.7), (20.0, 24.5), (15.9, 30.4), (24.2, 30.3)))
"""The proportions of the common 112x112 template, at 32 pixels for its side, with room for the slack around it."""


def glances(image: Image, faces: Faces) -> NDArray[np.uint8]:
    """A small aligned picture of each face.

    Args:
        image: (H, W, 3) uint8 BGR.
        faces: N faces in pixels of the image.

    Returns:
        (N, 40, 40) uint8 grey levels.
    """
    crops = align(image, faces.landmarks, _TEMPLATE)
    grey = [cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY) for crop in crops]
    return np.asarray(grey, np.uint8).reshape(-1, _SIDE, _SIDE)


def likeness(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
    """The highest normalised cross-correlation of two glances over small shifts, -1..1; 0 for a face without contrast.

    Args:
        before: (40, 40) uint8.
        after: (40, 40) uint8.
    """
    core = before[_SLACK:-_SLACK, _SLACK:-_SLACK]
    darkest, brightest, _, _ = cv2.minMaxLoc(core)
    if darkest == brightest:
        return 0.0  # the correlation is undefined, and OpenCV answers 1
    _, highest, _, _ = cv2.minMaxLoc(cv2.matchTemplate(after, core, cv2.TM_CCOEFF_NORMED))
    return highest
