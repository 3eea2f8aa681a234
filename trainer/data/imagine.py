"""Faces of people who don't exist, made of those in the crops.

A network that learns to answer as an older model does needs no names, only faces and what the older model says about
them; a few thousand photographs of a few hundred people are then no limit. Two aligned faces mixed by parts, or one
with other proportions, are as good a question as a photograph. Labels don't survive this, so that only a recipe whose
loss looks at none may imagine faces.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from server.domain import Image

_CELLS = 4
"""Proportions change smoothly between so many points along each side."""


@dataclass(frozen=True, slots=True)
class Imagination:
    """How often and how strongly faces are changed into others.

    Attributes:
        blend: chance that a crop is mixed with another one of the training set, 0..1.
        parts: a mixed face is divided into 1 (the whole face evenly) to this many parts along each side.
        warp: chance that the proportions change, 0..1.
        bend: standard deviation of the changes, as a share of the sides.
    """

    blend: float = 0.0
    parts: int = 4
    warp: float = 0.0
    bend: float = 0.02

    def __post_init__(self) -> None:
        if not (0 <= self.blend <= 1 and 0 <= self.warp <= 1 and self.parts >= 1 and self.bend >= 0):
            raise ValueError(f"blend and warp are chances in 0..1, parts 1 or more, and bend not below 0: {self}")

    @property
    def active(self) -> bool:
        """Whether any face is changed."""
        return self.blend > 0 or self.warp > 0


def blend(image: Image, other: Image, *, parts: int, generator: np.random.Generator) -> Image:
    """Two aligned faces in one: each of parts x parts cells has its own share of either, with soft borders."""
    shares = generator.random((parts, parts), np.float32)
    height, width = image.shape[:2]
    weight = np.clip(cv2.resize(shares, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
    return np.asarray(cv2.blendLinear(image, other, weight, 1 - weight), np.uint8)


def warp(image: Image, *, bend: float, generator: np.random.Generator) -> Image:
    """The face with other proportions: a grid of points moves by `bend` (standard deviation, share of the sides)."""
    height, width = image.shape[:2]
    moves = generator.normal(0, bend, (2, _CELLS, _CELLS)).astype(np.float32)
    across, down = (
        cv2.resize(move * side, (width, height), interpolation=cv2.INTER_CUBIC)
        for move, side in zip(moves, (width, height), strict=True)
    )
    rows, columns = np.indices((height, width), np.float32)
    moved = cv2.remap(image, columns + across, rows + down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)
