"""Whether two pictures are of one shot: cameras turn and people move, but after a cut everything is another at once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from server.domain import Image
from server.vision.likeness import directions

_SIZE = (32, 18)
_SAMPLED = 4
"""Every so many pixels are enough for means of so few cells, and cost a tenth."""

_UNBROKEN = 0.8
"""Correlation of two outlines from which they are of one shot.

Measured: across the cuts of a clip at most 0.27, between any pictures of its shots 0.40; of 124,750 pairs of photos
from LFW, which are all composed alike, 7 reach it. Where a camera turns in a street, 95 % of the pictures that are
0.2 s apart have 0.83 and more.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """What a camera shows without a break.

    Attributes:
        outline: (576,) float32, the light and dark of its last picture as a direction; zeros without contrast.
        since_ns: when its first picture was captured, camera's monotonic nanoseconds.
    """

    outline: NDArray[np.float32]
    since_ns: int


def shot_after(before: Shot | None, image: Image, at_ns: int) -> Shot:
    """The shot that a picture is of: the one before, or another that begins with it.

    Args:
        before: of the picture before; None when this is the first.
        image: (H, W, 3) uint8 BGR.
        at_ns: when it was captured, camera's monotonic nanoseconds.
    """
    outline = _outline(image)
    if before is None or float(outline @ before.outline) < _UNBROKEN:
        return Shot(outline, at_ns)
    return replace(before, outline=outline)


def _outline(image: Image) -> NDArray[np.float32]:
    sampled = np.ascontiguousarray(image[::_SAMPLED, ::_SAMPLED, 1])
    levels = cv2.resize(sampled, _SIZE, interpolation=cv2.INTER_AREA)
    (outline,) = directions(np.asarray(levels, np.uint8).reshape(1, -1))
    return np.asarray(outline, np.float32)
