"""Drawn people: what stays the same about somebody, and what changes from photo to photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Colour = tuple[float, float, float]
"""Blue, green, red, 0..255."""

_SKIN = np.array([(190, 205, 240), (150, 180, 225), (110, 145, 200), (70, 100, 150), (45, 65, 105)], float)
_HAIR = np.array([(25, 25, 30), (30, 45, 75), (45, 75, 120), (110, 170, 210), (50, 80, 165), (165, 165, 165)], float)
_IRIS = np.array([(35, 50, 85), (130, 100, 60), (70, 110, 70), (60, 60, 60)], float)


@dataclass(frozen=True, slots=True)
class Person:
    """What stays the same; lengths are in widths of a standard face, angles in degrees.

    Attributes:
        skin: colour.
        hair: colour; brows and beard have it too.
        iris: colour.
        lips: colour.
        width: of the face.
        height: of the face.
        jaw: width of the jaw, as a share of the face's.
        eye_gap: from the middle of the face to an eye.
        eye_size: half the width of an eye.
        eye_tilt: outer corners up.
        brow_gap: from an eye to its brow.
        brow_thick: of a brow.
        brow_tilt: outer ends up.
        nose_length: from the eyes to the tip.
        nose_width: of the tip.
        mouth_width: half of it.
        lip_thick: of both lips.
        fringe: how far the hair comes down the forehead.
        volume: of the hair around the head.
        long: whether the hair falls beside the cheeks.
        beard: 0 for none to 1.
        glasses: whether they are worn.
    """

    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    width: float
    height: float
    jaw: float
    eye_gap: float
    eye_size: float
    eye_tilt: float
    brow_gap: float
    brow_thick: float
    brow_tilt: float
    nose_length: float
    nose_width: float
    mouth_width: float
    lip_thick: float
    fringe: float
    volume: float
    long: bool
    beard: float
    glasses: bool


@dataclass(frozen=True, slots=True)
class Shot:
    """What changes from photo to photo.

    Attributes:
        yaw: degrees, to the right of the picture.
        pitch: degrees, upwards.
        roll: degrees, counter-clockwise.
        smile: -0.3 .. 1.
        open: how far the mouth is open, 0..1.
        lids: how far the eyes are open, 0.6..1.
        light: direction that the light comes from: -1 left .. 1 right.
        exposure: factor of the brightness.
        size: width of the face as a share of the picture's.
        shift: of the face from the middle, shares of the picture.
        backdrop: colours at the top and bottom.
        clothes: colour.
        blur: pixels.
        noise: grey levels.
        seed: of the noise.
    """

    yaw: float
    pitch: float
    roll: float
    smile: float
    open: float
    lids: float
    light: float
    exposure: float
    size: float
    shift: tuple[float, float]
    backdrop: tuple[Colour, Colour]
    clothes: Colour
    blur: float
    noise: float
    seed: int


def invent(seed: int) -> Person:
    """Somebody; another seed is somebody else."""
    drawn = np.random.default_rng([seed, 1])
    skin = _between(_SKIN, drawn)
    return Person(
        skin=skin,
        hair=_between(_HAIR, drawn),
        iris=_colour(_IRIS[drawn.integers(len(_IRIS))]),
        lips=_colour(0.6 * np.array(skin) + 0.4 * np.array((80, 60, drawn.uniform(130, 190)))),
        width=drawn.uniform(0.86, 1.12),
        height=drawn.uniform(1.2, 1.5),
        jaw=drawn.uniform(0.55, 0.95),
        eye_gap=drawn.uniform(0.185, 0.25),
        eye_size=drawn.uniform(0.075, 0.115),
        eye_tilt=drawn.uniform(-8, 10),
        brow_gap=drawn.uniform(0.09, 0.16),
        brow_thick=drawn.uniform(0.018, 0.055),
        brow_tilt=drawn.uniform(-12, 14),
        nose_length=drawn.uniform(0.24, 0.38),
        nose_width=drawn.uniform(0.08, 0.15),
        mouth_width=drawn.uniform(0.13, 0.22),
        lip_thick=drawn.uniform(0.03, 0.085),
        fringe=drawn.uniform(0.02, 0.26),
        volume=drawn.uniform(0.02, 0.16),
        long=bool(drawn.random() < 0.4),
        beard=float(drawn.uniform(0.4, 1) if drawn.random() < 0.3 else 0),
        glasses=bool(drawn.random() < 0.2),
    )


def pose(person: int, number: int) -> Shot:
    """The circumstances of a person's photo."""
    drawn = np.random.default_rng([person, 2, number])
    return Shot(
        yaw=drawn.normal(0, 9),
        pitch=drawn.normal(0, 5),
        roll=drawn.normal(0, 6),
        smile=drawn.uniform(-0.3, 1),
        open=max(0.0, drawn.normal(0, 0.4)),
        lids=drawn.uniform(0.65, 1),
        light=drawn.uniform(-1, 1),
        exposure=drawn.uniform(0.65, 1.2),
        size=drawn.uniform(0.36, 0.5),
        shift=(drawn.uniform(-0.06, 0.06), drawn.uniform(-0.04, 0.06)),
        backdrop=(_colour(drawn.uniform(20, 240, 3)), _colour(drawn.uniform(20, 240, 3))),
        clothes=_colour(drawn.uniform(20, 230, 3)),
        blur=abs(drawn.normal(0, 0.8)),
        noise=drawn.uniform(1, 6),
        seed=int(drawn.integers(2**31)),
    )


def _between(palette: NDArray[np.float64], drawn: np.random.Generator) -> Colour:
    place = drawn.uniform(0, len(palette) - 1)
    low = int(place)
    return _colour(palette[low] + (place - low) * (palette[min(low + 1, len(palette) - 1)] - palette[low]))


def _colour(values: NDArray[np.float64]) -> Colour:
    blue, green, red = (float(value) for value in values)
    return blue, green, red
