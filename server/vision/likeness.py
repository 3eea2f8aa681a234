"""Whether a face in this picture looks like one in the picture before: far cheaper than an embedding, and far weaker.

It tells that a tracked face is still the same face a moment later, and notices when a cut or a passer-by has put
another one in its place. It says nothing about who somebody is.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    if not len(crops):
        return np.zeros((0, _SIDE, _SIDE), np.uint8)
    # as one picture: a call costs more than a crop
    grey = cv2.cvtColor(crops.reshape(-1, _SIDE, 3), cv2.COLOR_BGR2GRAY)
    return np.asarray(grey, np.uint8).reshape(-1, _SIDE, _SIDE)


_SURE = 0.01
"""A likeness without shifts that exceeds a bar by this much exceeds it with them, however either is rounded."""


def signatures(seen: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The middles of glances as directions, whose products are the likenesses without any shift.

    Args:
        seen: (N, 40, 40) uint8.

    Returns:
        (N, 784) float32 of norm 1; zeros for a face without contrast.
    """
    middles = seen[:, _SLACK:-_SLACK, _SLACK:-_SLACK].reshape(len(seen), (_SIDE - 2 * _SLACK) ** 2)
    return directions(middles)


def directions(levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Grey levels as directions, whose products are correlations.

    Args:
        levels: (N, K) uint8.

    Returns:
        (N, K) float32 of norm 1; zeros for a row without contrast.
    """
    centred = levels.astype(np.float32)
    centred -= centred.mean(axis=1, keepdims=True)
    norms = np.sqrt(np.einsum("nk,nk->n", centred, centred))[:, None]
    return np.asarray(np.divide(centred, norms, out=np.zeros_like(centred), where=norms > 1), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Glance:
    """How a face looked.

    Attributes:
        picture: (40, 40) uint8 grey levels.
        signature: (784,) float32, as `signatures` gives it.
    """

    picture: NDArray[np.uint8]
    signature: NDArray[np.float32]

    def is_like(self, before: Glance, bar: float) -> bool:
        """Whether its likeness to an earlier glance is at least `bar`, 0 < bar <= 1.

        A face that has hardly moved is recognised by its signature, which costs far less than trying all shifts.
        """
        if float(self.signature @ before.signature) >= bar + _SURE:
            return True
        return likeness(before.picture, self.picture) >= bar


def glances_of(image: Image, faces: Faces) -> tuple[Glance, ...]:
    """A glance at each of N faces; arguments as for `glances`."""
    seen = glances(image, faces)
    return tuple(Glance(picture, signature) for picture, signature in zip(seen, signatures(seen), strict=True))


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
