"""Where a face will be: its box, how it moves, and how far it may have got. Pure; times are monotonic nanoseconds.

Velocities are smoothed and predictions damped in seconds, not in frames, so that a camera may send two frames a second
or thirty, at any rhythm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

_SMOOTHING_S = 0.25
"""How long a measured velocity takes to count for two thirds."""

_DAMPING_S = 0.5
"""People change direction: a velocity is trusted for about so long."""

_MOST_GROWTH = 2.0
"""Logarithmic growth a second beyond which a measurement is noise: a face seven times as large after a second."""


XY: TypeAlias = tuple[float, float]
"""x and y, or width and height. Plain numbers: arrays of two cost twice as much, for each face of each frame."""


@dataclass(frozen=True, slots=True)
class Motion:
    """A moving box.

    Attributes:
        centre: x and y, pixels.
        size: width and height, pixels.
        velocity: of the centre, x and y, pixels a second.
        growth: of the logarithm of the size, per second.
        at_ns: when.
    """

    centre: XY
    size: XY
    velocity: XY
    growth: float
    at_ns: int

    @staticmethod
    def start(box: NDArray[np.float32], at_ns: int) -> Motion:
        """A box that was seen once and stands still; left, top, right, bottom in pixels."""
        centre, size = _centre_and_size(box)
        return Motion(centre, size, (0.0, 0.0), 0.0, at_ns)

    def predicted(self, at_ns: int) -> NDArray[np.float64]:
        """(4,) left, top, right, bottom in pixels at a later time."""
        gap_s = max(0.0, (at_ns - self.at_ns) / 1e9)
        trusted_s = _DAMPING_S * -math.expm1(-gap_s / _DAMPING_S)
        x, y = (at + speed * trusted_s for at, speed in zip(self.centre, self.velocity, strict=True))
        grown = math.exp(self.growth * trusted_s) / 2
        across, down = self.size[0] * grown, self.size[1] * grown
        return np.array((x - across, y - down, x + across, y + down))

    def moved(self, box: NDArray[np.float32], at_ns: int) -> Motion:
        """After the box was seen again, at a time that isn't earlier."""
        centre, size = _centre_and_size(box)
        gap_s = (at_ns - self.at_ns) / 1e9
        if gap_s <= 0:
            return Motion(centre, size, self.velocity, self.growth, self.at_ns)
        share = -math.expm1(-gap_s / _SMOOTHING_S)
        velocity = tuple(
            speed + share * ((now - before) / gap_s - speed)
            for speed, now, before in zip(self.velocity, centre, self.centre, strict=True)
        )
        seen = 0.5 * math.log(size[0] * size[1] / (self.size[0] * self.size[1])) / gap_s
        growth = self.growth + share * (min(_MOST_GROWTH, max(-_MOST_GROWTH, seen)) - self.growth)
        return Motion(centre, size, (velocity[0], velocity[1]), growth, at_ns)

    def stopped(self, at_ns: int) -> Motion:
        """After a moment in which nothing moved."""
        return Motion(self.centre, self.size, (0.0, 0.0), 0.0, max(at_ns, self.at_ns))

    def reach(self, at_ns: int) -> float:
        """How far from its predicted place the centre may be, in pixels: half a face at once, two a second more."""
        gap_s = max(0.0, (at_ns - self.at_ns) / 1e9)
        return max(self.size) * min(4.0, 0.5 + 2.0 * gap_s)


def _centre_and_size(box: NDArray[np.float32]) -> tuple[XY, XY]:
    left, top, right, bottom = box.tolist()
    return ((left + right) / 2, (top + bottom) / 2), (max(right - left, 1.0), max(bottom - top, 1.0))
