"""Drawn faces: pictures in which a face detector finds faces, made of nobody's photograph.

A gate that compares two runs of a network needs inputs that light the network up as real ones do, and may not depend
on files that somebody has to fetch. Eyes, brows, nose and mouth are shaded blobs on a shaded head; that is enough for
the default detectors to be sure of every one of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from server.domain import Image

Floats: TypeAlias = NDArray[np.float32]
Colour: TypeAlias = tuple[float, float, float]
"""Blue, green, red, grey levels."""

_UNIT, _MIDDLE_Y = 0.26, 0.49
"""Half a head's width, and its middle's height, as shares of the picture's side."""

_EYES_Y = -0.18
"""Height of the eyes from the head's middle, in half widths of the head."""

_BEND = 0.35
"""How much the mouth's corners rise."""

_HAIRS: tuple[Colour, ...] = ((28, 32, 40), (40, 66, 104), (90, 140, 176), (120, 120, 124))
_SKINS: tuple[Colour, ...] = ((168, 190, 226), (128, 158, 204), (92, 122, 172), (60, 82, 124))


@dataclass(frozen=True, slots=True)
class Portrait:
    """How a drawn face looks. Lengths are shares of the head's half width.

    Attributes:
        skin: colour of the head.
        hair: colour of the hair and the brows.
        length: half height of the head.
        eyes: of the eyes from the middle, to either side.
        eye_size: half width of an eye.
        nose: how far the tip lies below the eyes.
        mouth: how far the mouth lies below the eyes.
        smile: half width of the mouth.
        light: where light comes from, -1 (left of the picture) to 1.
        tilt_deg: how far the head leans, clockwise.
    """

    skin: Colour
    hair: Colour
    length: float
    eyes: float
    eye_size: float
    nose: float
    mouth: float
    smile: float
    light: float
    tilt_deg: float


def portrait(seed: int) -> Portrait:
    """The same face for the same seed; different ones differ in every measure."""
    draw = np.random.default_rng(seed)
    skin = np.asarray(_SKINS[seed % len(_SKINS)]) * draw.uniform(0.93, 1.07)
    return Portrait(
        skin=cast("Colour", tuple(np.minimum(skin, 240).tolist())),
        hair=_HAIRS[int(draw.integers(len(_HAIRS)))],
        length=draw.uniform(1.28, 1.45),
        eyes=draw.uniform(0.40, 0.47),
        eye_size=draw.uniform(0.17, 0.21),
        nose=draw.uniform(0.48, 0.58),
        mouth=draw.uniform(0.85, 0.98),
        smile=draw.uniform(0.30, 0.42),
        light=draw.uniform(-0.8, 0.8),
        tilt_deg=draw.uniform(-12, 12),
    )


def draw_portrait(face: Portrait, side: int) -> Image:
    """A head and shoulders before a grey wall: (side, side, 3) uint8 BGR."""
    y, x = (np.mgrid[0:side, 0:side].astype(np.float32) - _MIDDLE_Y * side) / (_UNIT * side)
    x += (_MIDDLE_Y - 0.5) / _UNIT
    canvas = np.empty((side, side, 3), np.float32)
    canvas[:] = (150, 152, 156)
    canvas -= 14 * y[..., None]
    _fill(canvas, _ellipse(x, y, (0, 2.35), (1.65, 0.95)), (96, 84, 78))
    cos, sin = _turn(face)
    _draw_head(canvas, face, cos * x + sin * y, cos * y - sin * x)
    grain = np.random.default_rng(0).normal(0, 3, canvas.shape)
    return np.clip(canvas + grain, 0, 255).astype(np.uint8)


def landmarks_of(face: Portrait, side: int) -> NDArray[np.float32]:
    """(5, 2) float32: where `draw_portrait` draws eyes, nose tip and mouth corners, x and y in pixels."""
    corner = _EYES_Y + face.mouth - _BEND * face.smile**2
    in_head = np.asarray(
        [
            (-face.eyes, _EYES_Y),
            (face.eyes, _EYES_Y),
            (0, _EYES_Y + face.nose),
            (-face.smile, corner),
            (face.smile, corner),
        ]
    )
    cos, sin = _turn(face)
    turned = in_head @ np.asarray([[cos, sin], [-sin, cos]])
    return np.asarray((turned * _UNIT + (0.5, _MIDDLE_Y)) * side, np.float32)


def draw_crowd(seeds: range, *, columns: int, side: int) -> Image:
    """Portraits beside and below each other, row by row, full rows only.

    Returns:
        (rows * side, columns * side, 3) uint8 BGR.
    """
    drawn = [draw_portrait(portrait(seed), side) for seed in seeds]
    rows = [np.hstack(drawn[start : start + columns]) for start in range(0, len(drawn) - columns + 1, columns)]
    return np.vstack(rows)


def _turn(face: Portrait) -> tuple[float, float]:
    """Cosine and sine of the head's lean."""
    angle = math.radians(face.tilt_deg)
    return math.cos(angle), math.sin(angle)


def _draw_head(canvas: Floats, face: Portrait, x: Floats, y: Floats) -> None:
    """The head in its own coordinates: the origin between the eyes and the nose, y down."""
    shade = np.clip(1.02 + 0.28 * face.light * x - 0.10 * y - 0.22 * (x * x + (y / face.length) ** 2), 0.35, 1.15)
    skin: Floats = np.asarray(shade[..., None] * np.asarray(face.skin), np.float32)
    _fill(canvas, _ellipse(x, y, (0, -0.22), (1.14, face.length * 1.02)), face.hair)
    _fill(canvas, _ellipse(x, y, (0, face.length), (0.55, 0.75)), skin * 0.72)
    _fill(canvas, _ellipse(x, y, (0, 0.06), (1.0, face.length), power=2.4), skin)
    _fill(canvas, _ellipse(x, y, (0, -face.length * 0.86), (0.95, 0.52)), face.hair)
    _draw_eyes(canvas, face, x, y, skin)
    _draw_nose(canvas, face, x, y, skin)
    _draw_mouth(canvas, face, x, y, skin)


def _draw_eyes(canvas: Floats, face: Portrait, x: Floats, y: Floats, skin: Floats) -> None:
    eye_y, size = _EYES_Y, face.eye_size
    for middle in (-face.eyes, face.eyes):
        _fill(canvas, _ellipse(x, y, (middle, eye_y - 0.02), (size * 1.7, size * 1.35), soft=0.5) * 0.6, skin * 0.62)
        _fill(canvas, _ellipse(x, y, (middle, eye_y - 0.035), (size * 1.12, size * 0.62)), (30, 34, 44))
        _fill(canvas, _ellipse(x, y, (middle, eye_y + 0.01), (size, size * 0.5)), (214, 218, 222))
        _fill(canvas, _ellipse(x, y, (middle, eye_y), (size * 0.48, size * 0.52)), (34, 42, 52))
        _fill(
            canvas,
            _ellipse(x, y, (middle + size * 0.15, eye_y - size * 0.18), (size * 0.13, size * 0.13)),
            (250, 250, 250),
        )
        lift = 0.4 * (x - middle) ** 2
        _fill(canvas, _ellipse(x, y + lift, (middle, eye_y - 0.27), (size * 1.45, 0.055), soft=0.3), face.hair)


def _draw_nose(canvas: Floats, face: Portrait, x: Floats, y: Floats, skin: Floats) -> None:
    tip = _EYES_Y + face.nose
    ridge = _ellipse(x, y, (0.10 * -np.sign(face.light), tip - 0.28), (0.09, 0.34), soft=0.6)
    _fill(canvas, ridge * 0.5, skin * 0.72)
    _fill(canvas, _ellipse(x, y, (0, tip - 0.02), (0.13, 0.12), soft=0.6) * 0.6, np.minimum(skin * 1.15, 250))
    _fill(canvas, _ellipse(x, y, (0, tip + 0.10), (0.22, 0.06), soft=0.5) * 0.7, skin * 0.55)
    for middle in (-0.10, 0.10):
        _fill(canvas, _ellipse(x, y, (middle, tip + 0.08), (0.055, 0.035), soft=0.4), (36, 40, 60))


def _draw_mouth(canvas: Floats, face: Portrait, x: Floats, y: Floats, skin: Floats) -> None:
    mouth_y = _EYES_Y + face.mouth
    bend = y + _BEND * x * x
    lips = skin * np.asarray((0.62, 0.58, 0.86), np.float32)
    _fill(canvas, _ellipse(x, bend, (0, mouth_y + 0.02), (face.smile, 0.12), soft=0.3), lips)
    _fill(canvas, _ellipse(x, bend, (0, mouth_y), (face.smile * 0.95, 0.022), soft=0.4), (40, 36, 66))
    _fill(canvas, _ellipse(x, y, (0, mouth_y + 0.24), (0.26, 0.06), soft=0.7) * 0.5, skin * 0.7)


def _ellipse(
    x: Floats, y: Floats, middle: tuple[float, float], half: tuple[float, float], soft: float = 0.12, power: float = 2
) -> Floats:
    """1 inside, 0 outside, with an edge so wide as the share `soft` of the radius."""
    radius = (np.abs((x - middle[0]) / half[0]) ** power + np.abs((y - middle[1]) / half[1]) ** power) ** (1 / power)
    return np.asarray(np.clip((1 + soft / 2 - radius) / soft, 0, 1), np.float32)


def _fill(canvas: Floats, matte: Floats, colour: Colour | Floats) -> None:
    weight = matte[..., None]
    canvas += weight * (np.asarray(colour, np.float32) - canvas)
