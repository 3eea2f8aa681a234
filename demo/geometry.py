"""Boxes and the way a picture is laid into another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

Point: TypeAlias = tuple[float, float]

Affine: TypeAlias = NDArray[np.float64]
"""(2, 3): maps (x, y, 1) to (x, y)."""


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned rectangle, pixels."""

    left: float
    top: float
    width: float
    height: float

    @property
    def centre(self) -> Point:
        """Its middle."""
        return self.left + self.width / 2, self.top + self.height / 2

    @property
    def area(self) -> float:
        """Its area, square pixels."""
        return self.width * self.height

    def scaled(self, factor: float) -> Self:
        """The box in a picture that is larger by the factor."""
        return type(self)(self.left * factor, self.top * factor, self.width * factor, self.height * factor)

    def moved(self, right: float, down: float) -> Self:
        """The box elsewhere."""
        return type(self)(self.left + right, self.top + down, self.width, self.height)

    def overlap(self, other: Box) -> float:
        """Intersection over union, 0..1."""
        width = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        height = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        if width <= 0 or height <= 0:
            return 0.0
        return width * height / (self.area + other.area - width * height)


def similarity(pivot: Point, target: Point, *, scale: float, clockwise_deg: float) -> Affine:
    """Scales and turns around a point, which comes to lie on the target; y points down."""
    cos, sin = (scale * f(math.radians(clockwise_deg)) for f in (math.cos, math.sin))
    linear = np.array([[cos, -sin], [sin, cos]])
    return np.column_stack([linear, np.array(target) - linear @ np.array(pivot)])
