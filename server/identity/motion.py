"""Where a face will be: its box, how it moves, and how far it may have got. Pure; times are monotonic nanoseconds.

Velocities are smoothed and predictions damped in seconds, not in frames, so that a camera may send two frames a second
or thirty, at any rhythm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SMOOTHING_S = 0.25
"""How long a measured velocity takes to count for two thirds."""

_DAMPING_S = 0.5
"""People change direction: a velocity is trusted for about so long."""

_MOST_GROWTH = 2.0
"""Logarithmic growth a second beyond which a measurement is noise: a face seven times as large after a second."""


@dataclass(frozen=True, slots=True)
class Motion:
    """A moving box.

    Attributes:
        centre: (2,) float64, pixels.
        size: (2,) float64, width and height, pixels.
        velocity: (2,) float64, of the centre, pixels a second.
        growth: of the logarithm of the size, per second.
        at_ns: when.
    """

    centre: NDArray[np.float64]
    size: NDArray[np.float64]
    velocity: NDArray[np.float64]
    growth: float
    at_ns: int

    @staticmethod
    def start(box: NDArray[np.float32], at_ns: int) -> Motion:
        """A box that was seen once and stands still; left, top, right, bottom in pixels."""
        centre, size = _centre_and_size(box)
        return Motion(centre, size, np.zeros(2), 0.0, at_ns)

    def predicted(self, at_ns: int) -> NDArray[np.float64]:
        """(4,) left, top, right, bottom in pixels at a later time."""
        gap_s = max(0.0, (at_ns - self.at_ns) / 1e9)
        trusted_s = _DAMPING_S * -math.expm1(-gap_s / _DAMPING_S)
        centre = self.centre + self.velocity * trusted_s
        half = self.size * math.exp(self.growth * trusted_s) / 2
        return np.concatenate([centre - half, centre + half])

    def moved(self, box: NDArray[np.float32], at_ns: int) -> Motion:
        """After the box was seen again, at a time that isn't earlier."""
        centre, size = _centre_and_size(box)
        gap_s = (at_ns - self.at_ns) / 1e9
        if gap_s <= 0:
            return Motion(centre, size, self.velocity, self.growth, self.at_ns)
        share = -math.expm1(-gap_s / _SMOOTHING_S)
        velocity = self.velocity + share * ((centre - self.centre) / gap_s - self.velocity)
        seen = 0.5 * math.log(float(size[0] * size[1] / (self.size[0] * self.size[1]))) / gap_s
        growth = self.growth + share * (min(_MOST_GROWTH, max(-_MOST_GROWTH, seen)) - self.growth)
        return Motion(centre, size, velocity, growth, at_ns)

    def stopped(self, at_ns: int) -> Motion:
        """After a moment in which nothing moved."""
        return Motion(self.centre, self.size, np.zeros(2), 0.0, max(at_ns, self.at_ns))

    def reach(self, at_ns: int) -> float:
        """How far from its predicted place the centre may be, in pixels: half a face at once, two a second more."""
        gap_s = max(0.0, (at_ns - self.at_ns) / 1e9)
        return float(self.size.max()) * min(4.0, 0.5 + 2.0 * gap_s)


def _centre_and_size(box: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    corners = np.asarray(box, np.float64)
    return (corners[:2] + corners[2:]) / 2, np.maximum(corners[2:] - corners[:2], 1.0)
