"""Draws the hall that people walk through, and the counter in front of them, as a camera on the counter sees them."""

from __future__ import annotations

from typing import TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.geometry import Point

WIDTH, HEIGHT = 1280, 720

HORIZON = 600
"""Row of what is as high as the camera, pixels."""

COUNTER_TOP = 614
"""Row of the counter's edge, pixels."""

Image: TypeAlias = NDArray[np.uint8]
Colour: TypeAlias = tuple[int, int, int]
"""Blue, green, red."""

_FOCAL = 1000.0
"""Focal length, pixels."""

_CAMERA_M = 1.39
"""Height of the camera."""

_HALF_M, _CEILING_M, _NEAR_M, _FAR_M = 3.0, 4.4, 1.0, 10.0
"""The hall: half its width, its height, where it begins and ends in front of the camera."""

_CEILING: Colour = (214, 219, 221)
_LAMP: Colour = (255, 255, 255)
_LEFT_WALL: Colour = (186, 197, 203)
_RIGHT_WALL: Colour = (170, 184, 192)
_FAR_WALL: Colour = (178, 190, 196)
_PANEL: Colour = (118, 132, 140)
_DOOR: Colour = (74, 98, 122)
_FRAME: Colour = (92, 98, 102)
_SKY: Colour = (238, 226, 208)
_WOOD: Colour = (70, 98, 134)
_EDGE: Colour = (150, 178, 206)


def draw_hall() -> Image:
    """(HEIGHT, WIDTH, 3) BGR: the hall behind the people, out of focus."""
    image = np.full((HEIGHT, WIDTH, 3), _FAR_WALL, np.uint8)
    _draw_ceiling(image)
    for side, wall in ((-1, _LEFT_WALL), (1, _RIGHT_WALL)):
        _on_wall(image, side, (_NEAR_M, _FAR_M), (0, _CEILING_M), wall)
        _on_wall(image, side, (_NEAR_M, _FAR_M), (0, 1.5), _PANEL)
    for z in (2.6, 4.6, 6.6, 8.4):
        _on_wall(image, -1, (z - 0.08, z + 1.38), (1.42, 3.68), _FRAME)
        _on_wall(image, -1, (z, z + 0.62), (1.5, 3.6), _SKY)
        _on_wall(image, -1, (z + 0.68, z + 1.3), (1.5, 3.6), _SKY)
    for z in (3.0, 5.4, 7.8):
        _on_wall(image, 1, (z - 0.08, z + 1.08), (0, 2.38), _FRAME)
        _on_wall(image, 1, (z, z + 1.0), (0, 2.3), _DOOR)
    _draw_far_wall(image)
    return cast("Image", cv2.GaussianBlur(_lit(image), (0, 0), 3.6))


def draw_counter() -> tuple[Image, NDArray[np.float32]]:
    """The counter in front of everybody: colours and matte, both of the frame's size."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    matte = np.zeros((HEIGHT, WIDTH), np.float32)
    matte[COUNTER_TOP:] = 1
    depth = HEIGHT - COUNTER_TOP
    shade = np.linspace(1.15, 0.65, depth, dtype=np.float32)[:, None, None]
    grain = np.random.default_rng(5).normal(0, 90, (depth, WIDTH)).astype(np.float32)
    grain = cast("NDArray[np.float32]", cv2.GaussianBlur(grain, (0, 0), 60, sigmaY=1.2))
    image[COUNTER_TOP:] = np.clip(np.array(_WOOD, np.float32) * shade + grain[:, :, None], 0, 255).astype(np.uint8)
    image[COUNTER_TOP : COUNTER_TOP + 4] = _EDGE
    return cast("Image", cv2.GaussianBlur(image, (0, 0), 1.0)), cast(
        "NDArray[np.float32]", cv2.GaussianBlur(matte, (0, 0), 1.2)
    )


def _seen(x_m: float, y_m: float, z_m: float) -> Point:
    """Where a point is in the picture: metres to the right of the camera, above the floor, in front of the camera."""
    return WIDTH / 2 + _FOCAL * x_m / z_m, HORIZON - _FOCAL * (y_m - _CAMERA_M) / z_m


def _draw_ceiling(image: Image) -> None:
    _on_ceiling(image, (-_HALF_M, _HALF_M), (_NEAR_M, _FAR_M), _CEILING)
    for z in (3.0, 4.3, 5.6, 6.9, 8.2):
        for x in (-1.9, 1.1):
            _on_ceiling(image, (x, x + 0.8), (z, z + 0.7), _LAMP)


def _draw_far_wall(image: Image) -> None:
    _on_far_wall(image, (-_HALF_M, _HALF_M), (0, 1.5), _PANEL)
    _on_far_wall(image, (-1.3, 1.3), (0, 2.7), _FRAME)
    for x in (-1.22, 0.04):
        _on_far_wall(image, (x, x + 1.18), (0.1, 2.62), _SKY)
    _on_far_wall(image, (-2.6, -1.8), (1.8, 2.8), _FRAME)
    _on_far_wall(image, (1.8, 2.6), (1.8, 2.8), _FRAME)


def _on_wall(image: Image, side: int, z: Point, y: Point, colour: Colour) -> None:
    x = side * _HALF_M
    _fill(image, [_seen(x, y[0], z[0]), _seen(x, y[0], z[1]), _seen(x, y[1], z[1]), _seen(x, y[1], z[0])], colour)


def _on_ceiling(image: Image, x: Point, z: Point, colour: Colour) -> None:
    corners = [(x[0], z[0]), (x[1], z[0]), (x[1], z[1]), (x[0], z[1])]
    _fill(image, [_seen(right, _CEILING_M, ahead) for right, ahead in corners], colour)


def _on_far_wall(image: Image, x: Point, y: Point, colour: Colour) -> None:
    corners = [(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])]
    _fill(image, [_seen(right, up, _FAR_M) for right, up in corners], colour)


def _lit(image: Image) -> Image:
    """The picture with light that falls off from the middle."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    away = np.hypot((columns - WIDTH / 2) / WIDTH, (rows - HEIGHT / 2) / HEIGHT)
    return cast("Image", np.clip(image * (1.0 - 0.4 * away[:, :, None]), 0, 255).astype(np.uint8))


def _fill(image: Image, corners: list[Point], colour: Colour) -> None:
    cv2.fillPoly(image, [np.array(corners).round().astype(np.int32)], colour, cv2.LINE_AA)
