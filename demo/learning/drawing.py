"""Draws people as a camera might see them: flat shapes, soft shadows, light from one side, blur and noise."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.learning.people import Colour, Person, Shot

Picture = NDArray[np.uint8]

SIDE = 224
_SCALE = 2
"""Everything is drawn so much larger, and shrunk in the end, which smooths the edges."""


class _Head:
    """A canvas whose coordinates are those of a head: the origin between the eyes, x right, y down, face widths."""

    def __init__(self, person: Person, shot: Shot) -> None:
        side = SIDE * _SCALE
        top, bottom = (np.array(colour, np.float32) for colour in shot.backdrop)
        share = np.linspace(0, 1, side, dtype=np.float32)[:, None, None]
        self.canvas = np.ascontiguousarray(np.broadcast_to(top + share * (bottom - top), (side, side, 3)))
        self._unit = shot.size * side
        self._middle = np.array([(0.5 + shot.shift[0]) * side, (0.44 + shot.shift[1]) * side])
        angle = np.radians(shot.roll)
        self._turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        self._depth = np.array([np.sin(np.radians(shot.yaw)), -np.sin(np.radians(shot.pitch))])
        self._narrow = np.array([np.cos(np.radians(shot.yaw)), np.cos(np.radians(shot.pitch))])

    def place(self, points: NDArray[np.float64], depth: float = 0.0) -> NDArray[np.int32]:
        """Pixels, in sixteenths, of points that stand out of the face by a depth."""
        turned = (points * self._narrow + depth * self._depth) @ self._turn.T
        return np.asarray(np.rint((turned * self._unit + self._middle) * 16), np.int32)

    def fill(self, points: NDArray[np.float64], colour: Colour, *, depth: float = 0.0, soft: float = 0.002) -> None:
        """A polygon, whose edge is blurred by `soft` face widths; the colour covers what is there."""
        part, mask = self._soft(points, depth, soft)
        part += mask * (np.array(colour, np.float32) - part)

    def shade(self, points: NDArray[np.float64], factor: float, *, depth: float, soft: float) -> None:
        """Darkens (or brightens, above 1) what is there within a soft polygon."""
        part, mask = self._soft(points, depth, soft)
        part *= 1 + mask * (factor - 1)

    def _soft(
        self, points: NDArray[np.float64], depth: float, soft: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The part of the canvas around a polygon, and how much of each pixel the polygon covers."""
        placed = self.place(points, depth)
        sigma = soft * self._unit
        reach = int(3 * sigma) + 2
        left, top = np.clip(placed.min(axis=0) // 16 - reach, 0, self.canvas.shape[0] - 1)
        right, bottom = np.clip(placed.max(axis=0) // 16 + reach + 1, 1, self.canvas.shape[0])
        mask = np.zeros((bottom - top, right - left), np.float32)
        cv2.fillPoly(mask, [placed - np.array([left, top], np.int32) * 16], 1.0, cv2.LINE_AA, 4)
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma), np.float32)
        return self.canvas[top:bottom, left:right], mask[:, :, None]


def draw(person: Person, shot: Shot) -> Picture:
    """A photo, (SIDE, SIDE, 3) uint8 BGR."""
    head = _Head(person, shot)
    _body(head, person, shot)
    _hair_behind(head, person)
    _face(head, person, shot)
    for side in (-1, 1):
        _eye(head, person, shot, side)
    _nose(head, person, shot)
    _mouth(head, person, shot)
    _hair_before(head, person)
    if person.glasses:
        _glasses(head, person)
    return _developed(head.canvas, shot)


def _ellipse(x: float, y: float, wide: float, high: float, tilt: float = 0.0) -> NDArray[np.float64]:
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    turn = np.radians(-tilt)
    across, down = wide * np.cos(angles), high * np.sin(angles)
    return np.stack(
        [x + across * np.cos(turn) - down * np.sin(turn), y + across * np.sin(turn) + down * np.cos(turn)], axis=1
    )


def _outline(person: Person, grow: float = 0.0) -> NDArray[np.float64]:
    """The face: an ellipse above, and a jaw below that narrows to the chin."""
    angles = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    x, y = np.cos(angles), np.sin(angles)
    narrow = np.where(y > 0, 1 - (1 - person.jaw) * y**2 * (1.3 - 0.5 * y), 1)
    below, above = 0.56 * person.height, 0.42 * person.height
    wide = (person.width / 2 + grow) * x * narrow
    return np.stack([wide, np.where(y > 0, (below + grow) * y, (above + grow) * y) + 0.06], axis=1)


def _dark(colour: Colour, factor: float) -> Colour:
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def _body(head: _Head, person: Person, shot: Shot) -> None:
    low = 0.56 * person.height
    head.fill(_ellipse(0, low + 0.95, 1.1, 0.75), shot.clothes, depth=-0.2)
    neck = np.array([(-0.24, low - 0.3), (0.24, low - 0.3), (0.3, low + 0.35), (-0.3, low + 0.35)])
    head.fill(neck, _dark(person.skin, 0.72), depth=-0.15, soft=0.015)


def _hair_behind(head: _Head, person: Person) -> None:
    around = _outline(person, person.volume)
    head.fill(around[around[:, 1] < 0.2], person.hair, depth=-0.12, soft=0.02)
    if person.long:
        wide, low = person.width / 2 + person.volume, 0.62 * person.height
        curtain = np.array([(-wide, -0.1), (wide, -0.1), (wide + 0.06, low), (-wide - 0.06, low)])
        head.fill(curtain, person.hair, depth=-0.15, soft=0.03)
    else:
        for side in (-1, 1):
            ear = _ellipse(side * (person.width / 2 + 0.01), 0.1, 0.07, 0.14)
            head.fill(ear, _dark(person.skin, 0.85), depth=-0.1, soft=0.01)


def _face(head: _Head, person: Person, shot: Shot) -> None:
    outline = _outline(person)
    head.fill(outline, _dark(person.skin, 0.8), soft=0.008)
    head.fill(outline * 0.86 + (0, 0.01), person.skin, depth=0.05, soft=0.07)
    for side in (-1, 1):
        lit = 1 + 0.3 * side * shot.light
        cheek = _ellipse(side * 0.27 * person.width, 0.24, 0.17, 0.22)
        head.shade(cheek, 0.93 * lit + 0.05, depth=0.06, soft=0.08)
        head.shade(_ellipse(side * person.eye_gap, -0.01, 0.14, 0.09), 0.78, depth=0.08, soft=0.04)
    if person.beard:
        low = outline[outline[:, 1] > 0.3]
        strength = 0.35 + 0.5 * person.beard
        colour = tuple(s + strength * (h - s) for s, h in zip(person.skin, person.hair, strict=True))
        head.fill(low, (colour[0], colour[1], colour[2]), depth=0.06, soft=0.04)


def _eye(head: _Head, person: Person, shot: Shot, side: int) -> None:
    x, size = side * person.eye_gap, person.eye_size
    high = size * 0.55 * shot.lids
    tilt = side * person.eye_tilt
    head.fill(_ellipse(x, 0, size * 1.12, high * 1.3, tilt), _dark(person.skin, 0.42), depth=0.08, soft=0.008)
    head.fill(_ellipse(x, 0.008, size, high, tilt), (225, 230, 232), depth=0.08, soft=0.004)
    iris = min(high * 1.02, size * 0.52)
    head.fill(_ellipse(x, 0.004, size * 0.5, iris), person.iris, depth=0.085, soft=0.004)
    head.fill(_ellipse(x, 0.004, size * 0.24, iris * 0.5), (12, 12, 12), depth=0.085, soft=0.003)
    head.fill(_ellipse(x - 0.02, -0.015, size * 0.11, size * 0.11), (245, 245, 245), depth=0.09)
    angle = side * person.brow_tilt
    brow = _ellipse(x * 1.04, -person.brow_gap, size * 1.5, person.brow_thick, angle)
    head.fill(brow, _dark(person.hair, 0.75), depth=0.1, soft=0.01)


def _nose(head: _Head, person: Person, shot: Shot) -> None:
    tip, wide = person.nose_length, person.nose_width
    dark_side = -1 if shot.light > 0 else 1
    bridge = np.array([(0, -0.02), (dark_side * 0.05, 0), (dark_side * wide * 0.75, tip), (0, tip)])
    head.shade(bridge, 0.8, depth=0.16, soft=0.02)
    head.shade(_ellipse(0, tip - 0.02, wide * 0.45, 0.06), 1.12, depth=0.22, soft=0.025)
    head.shade(_ellipse(0, tip + 0.035, wide, 0.028), 0.6, depth=0.17, soft=0.015)
    for side in (-1, 1):
        nostril = _ellipse(side * wide * 0.5, tip + 0.012, wide * 0.24, 0.016)
        head.fill(nostril, _dark(person.skin, 0.3), depth=0.18, soft=0.006)


def _mouth(head: _Head, person: Person, shot: Shot) -> None:
    y = person.nose_length + 0.17
    wide = person.mouth_width * (1 + 0.22 * max(0.0, shot.smile))
    x = np.linspace(-1, 1, 25)
    bend = -0.055 * shot.smile * x**2
    arch = np.sqrt(1 - x**2)
    up, down = 0.42 * person.lip_thick * arch, (0.58 * person.lip_thick + 0.09 * shot.open) * arch
    lips = np.concatenate([np.stack([x * wide, y + bend - up], 1), np.stack([x * wide, y + bend + down], 1)[::-1]])
    head.fill(lips, person.lips, depth=0.12, soft=0.007)
    gap = 0.006 + 0.075 * shot.open
    inner = np.concatenate([
        np.stack([x * wide * 0.92, y + bend - 0.004 * arch], 1),
        np.stack([x * wide * 0.92, y + bend + gap * arch], 1)[::-1],
    ])  # fmt: skip
    head.fill(inner, _dark(person.lips, 0.3), depth=0.12, soft=0.004)
    if shot.open > 0.3:
        teeth = _ellipse(0, y + 0.012, wide * 0.6, 0.014 + 0.012 * shot.open)
        head.fill(teeth, (215, 225, 228), depth=0.12, soft=0.005)
    head.shade(_ellipse(0, y + down.max() + 0.05, wide * 0.6, 0.025), 0.82, depth=0.12, soft=0.02)


def _hair_before(head: _Head, person: Person) -> None:
    outline = _outline(person, 0.02)
    top = outline[:, 1].min()
    line = top + 0.06 + person.fringe
    above = outline[outline[:, 1] < line]
    # the hairline sags towards the temples
    left, right = above[above[:, 0].argmin()], above[above[:, 0].argmax()]
    x = np.linspace(right[0], left[0], 15)
    hairline = np.stack([x, line - 0.07 * np.cos(np.pi * x / person.width)], axis=1)
    order = np.argsort(np.arctan2(above[:, 1] - line, above[:, 0]))
    head.fill(np.concatenate([above[order], hairline]), person.hair, depth=0.03, soft=0.015)


def _glasses(head: _Head, person: Person) -> None:
    thick = max(1, round(0.016 * head._unit))
    for side in (-1, 1):
        rim = head.place(_ellipse(side * person.eye_gap, 0.01, 0.15, 0.11), 0.14)
        cv2.polylines(head.canvas, [rim], isClosed=True, color=(30, 30, 35), thickness=thick, shift=4)
    gap = person.eye_gap - 0.15
    bridge = head.place(np.array([(-gap, -0.01), (gap, -0.01)]), 0.15)
    cv2.polylines(head.canvas, [bridge], isClosed=False, color=(30, 30, 35), thickness=thick, shift=4)


def _developed(canvas: NDArray[np.float32], shot: Shot) -> Picture:
    """Light from one side, then what a lens and a sensor add."""
    side = canvas.shape[1]
    across = 1 + 0.3 * shot.light * np.linspace(-1, 1, side, dtype=np.float32)[None, :, None]
    lit = cv2.resize(canvas * across * shot.exposure, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    if shot.blur > 0.3:
        lit = cv2.GaussianBlur(lit, (0, 0), shot.blur)
    grain = np.random.default_rng(shot.seed).normal(0, shot.noise, lit.shape)
    return np.asarray(np.clip(np.rint(lit + grain), 0, 255), np.uint8)
