"""How people walk: from points on their way to where, how large, how tilted, how lit and how blurred a face is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from demo.geometry import Affine, Box, Point, similarity
from demo.hall import HORIZON, WIDTH

Numbers: TypeAlias = NDArray[np.float64]
"""(N,)."""

_ABOVE_CAMERA = 1.2
"""How much higher than the camera the middle of a face is, in heights of the face."""

_STEPS_PER_S = 1.9
_BOB, _SWAY, _ROLL_DEG = 0.035, 0.02, 2.2
"""Of a step: up and aside, in heights of the face; and the tilt of the head."""

_EASE_S = 0.45
"""Corners of the way are rounded over twice this."""

_SHARP_FACE_PX, _DEFOCUS = 150.0, 2.2
"""Height of a face in focus, and the blur for each unit of log size away from it, pixels."""

_EXPOSURE_S = 1 / 45


@dataclass(frozen=True, slots=True)
class Waypoint:
    """Where a face is at a time.

    Attributes:
        at_s: since the start of the video.
        x: middle of the face, pixels.
        face_px: height of the face, pixels.
    """

    at_s: float
    x: float
    face_px: float


@dataclass(frozen=True, slots=True)
class Walk:
    """One person's way through the picture.

    Attributes:
        person: who walks.
        waypoints: in the order of time, two at least; people walk straight between them.
        phase: 0..1; where in a step, and under which lamp, the person starts.
    """

    person: str
    waypoints: tuple[Waypoint, ...]
    phase: float

    def lasts(self, at_s: float) -> bool:
        """Whether the person is on the way at that time."""
        return self.waypoints[0].at_s <= at_s <= self.waypoints[-1].at_s


@dataclass(frozen=True, slots=True)
class Placement:
    """A person at one moment.

    Attributes:
        centre: middle of the face, pixels.
        face_px: height of the face, pixels.
        clockwise_deg: tilt.
        gain: factor of linear brightness.
        gamma: exponent of the grey levels; below 1 lifts the shadows.
        defocus_px: standard deviation of the blur of a lens out of focus.
        motion_px: way of the face during the exposure.
    """

    centre: Point
    face_px: float
    clockwise_deg: float
    gain: float
    gamma: float
    defocus_px: float
    motion_px: float

    def onto(self, face: Box) -> Affine:
        """The map from a picture with that face into the frame."""
        return similarity(face.centre, self.centre, scale=self.face_px / face.height, clockwise_deg=self.clockwise_deg)

    def box(self, face: Box) -> Box:
        """Where that face comes to lie in the frame, its tilt left aside."""
        width = face.width * self.face_px / face.height
        return Box(self.centre[0] - width / 2, self.centre[1] - self.face_px / 2, width, self.face_px)


def place(walk: Walk, at_s: float) -> Placement:
    """Where the person is at a time of the walk."""
    x, face_px = _on_floor(walk, at_s)
    step = math.pi * (_STEPS_PER_S * at_s + walk.phase)
    centre = (
        x + _SWAY * face_px * math.sin(step),
        HORIZON - (_ABOVE_CAMERA + _BOB * abs(math.sin(step))) * face_px,
    )
    lamp = 2 * math.pi * (x / 640 + walk.phase)
    earlier, _ = _on_floor(walk, at_s - _EXPOSURE_S)
    return Placement(
        centre=centre,
        face_px=face_px,
        clockwise_deg=_ROLL_DEG * math.sin(step) + 4 * math.sin(0.9 * at_s + 6 * walk.phase),
        gain=0.9 + 0.2 * math.sin(lamp),
        gamma=1 + 0.18 * math.cos(0.7 * lamp),
        defocus_px=0.4 + _DEFOCUS * abs(math.log(face_px / _SHARP_FACE_PX)),
        motion_px=abs(x - earlier),
    )


def _on_floor(walk: Walk, at_s: float) -> tuple[float, float]:
    """Column of the face and its height, pixels: straight and even in the hall, so not so in the picture."""
    times = np.array([point.at_s for point in walk.waypoints])
    depth = np.array([1 / point.face_px for point in walk.waypoints])
    aside = np.array([(point.x - WIDTH / 2) / point.face_px for point in walk.waypoints])
    around = at_s + np.linspace(-_EASE_S, _EASE_S, 19)
    face_px = 1 / float(_along(around, times, depth).mean())
    return WIDTH / 2 + float(_along(around, times, aside).mean()) * face_px, face_px


def _along(at: Numbers, times: Numbers, values: Numbers) -> Numbers:
    """Values between the points, and on at the same pace before the first and after the last."""
    first = values[0] + (at - times[0]) * (values[1] - values[0]) / (times[1] - times[0])
    last = values[-1] + (at - times[-1]) * (values[-1] - values[-2]) / (times[-1] - times[-2])
    between = np.interp(at, times, values)
    return np.asarray(np.where(at < times[0], first, np.where(at > times[-1], last, between)), np.float64)
