"""Makes the video: cutouts walk through the drawn hall, and the truth is written down beside it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.cutout import Cutout
from demo.geometry import Affine, Box
from demo.hall import HEIGHT, WIDTH, draw_counter, draw_hall
from demo.light import Layer, Sensor, blur_px, blurred, relit
from demo.motion import Placement, Walk, place
from demo.truth import Presence

Canvas: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scene:
    """What is to be seen.

    Attributes:
        figures: cutouts by person.
        walks: who walks when.
        fps: frames per second.
        seconds: how long it is.
    """

    figures: Mapping[str, Cutout]
    walks: Sequence[Walk]
    fps: int
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """A figure ready to be laid into the frame: `layer` goes to `left`, `top`."""

    person: str
    placement: Placement
    box: Box
    layer: Layer
    left: int
    top: int


def render(scene: Scene) -> Iterator[tuple[NDArray[np.uint8], tuple[Presence, ...]]]:
    """Each frame, (HEIGHT, WIDTH, 3) BGR, with who is in it."""
    hall = draw_hall().astype(np.float32)
    counter, counter_matte = draw_counter()
    front = counter.astype(np.float32) * counter_matte[:, :, None]
    sensor = Sensor(WIDTH, HEIGHT)
    for number in range(round(scene.fps * scene.seconds)):
        drawn = figures_at(scene, number / scene.fps)
        canvas = hall.copy()
        for figure in drawn:
            _lay(canvas, figure)
        canvas = canvas * (1 - counter_matte[:, :, None]) + front
        yield sensor.expose(canvas, number), presences(drawn, counter_matte)


def figures_at(scene: Scene, at_s: float) -> list[_Drawn]:
    """The figures at that time, the farthest first."""
    placed = [(walk.person, place(walk, at_s)) for walk in scene.walks if walk.lasts(at_s)]
    placed.sort(key=lambda item: item[1].face_px)
    drawn = (_draw(person, scene.figures[person], placement) for person, placement in placed)
    return [figure for figure in drawn if figure.layer.size]


def presences(drawn: Sequence[_Drawn], front: NDArray[np.float32]) -> tuple[Presence, ...]:
    """Who is to be seen, and how well. Faces outside the frame are left out.

    Args:
        drawn: the farthest first.
        front: (HEIGHT, WIDTH) matte of what is in front of everybody.
    """
    cover = front.copy()
    found = []
    for figure in reversed(drawn):
        visible = visibility(figure.box, cover)
        if visible > 0:
            blur, gain = blur_px(figure.placement), figure.placement.gain
            found.append(
                Presence(figure.person, _rounded(figure.box), round(visible, 3), round(blur, 2), round(gain, 2))
            )
        region = _region(figure)
        cover[region] = np.maximum(cover[region], figure.layer[:, :, 3])
    return tuple(reversed(found))


def visibility(box: Box, cover: NDArray[np.float32]) -> float:
    """Share of the box that is inside the picture and not covered.

    Args:
        box: in pixels.
        cover: (H, W) 0..1, how much of each pixel is hidden.
    """
    top, left = max(0, round(box.top)), max(0, round(box.left))
    bottom, right = round(box.top + box.height), round(box.left + box.width)
    inside = 1 - cover[top : max(top, bottom), left : max(left, right)]
    return min(1.0, float(inside.sum()) / box.area)


def _draw(person: str, figure: Cutout, placement: Placement) -> _Drawn:
    """The figure at its size in a layer just large enough, cut at the frame's edges."""
    whole = placement.onto(figure.face)
    left, top, right, bottom = _extent(figure, whole, margin=round(4 * placement.defocus_px + placement.motion_px) + 2)
    width, height = max(0, right - left), max(0, bottom - top)
    box = placement.box(figure.face)
    if not width or not height:
        return _Drawn(person, placement, box, np.zeros((0, 0, 4), np.float32), left, top)
    shift = whole - np.array([[0, 0, left], [0, 0, top]])
    # Shrinking by more than two would skip pixels of the cutout: half of it is enough then.
    image: NDArray[Any] = relit(figure.image, placement)
    matte: NDArray[Any] = figure.matte
    if placement.face_px < 0.55 * figure.face.height:
        image, matte = _halved(image), _halved(matte)
        shift = shift * np.array([2, 2, 1])
    colours = cv2.warpAffine(image, shift, (width, height), borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    alpha = cv2.warpAffine(matte, shift, (width, height))[:, :, None]
    layer = cast("Layer", np.concatenate([colours * alpha, alpha], axis=2).astype(np.float32))
    return _Drawn(person, placement, box, blurred(layer, placement), left, top)


def _halved(picture: NDArray[Any]) -> NDArray[Any]:
    return cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def _extent(figure: Cutout, affine: Affine, *, margin: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the figure in the frame, cut at the frame's edges."""
    height, width = figure.matte.shape
    corners = np.array([(x, y, 1) for x, y in itertools.product((0, width), (0, height))]) @ affine.T
    left, top = np.floor(corners.min(axis=0)).astype(int) - margin
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + margin
    return max(0, int(left)), max(0, int(top)), min(WIDTH, int(right)), min(HEIGHT, int(bottom))


def _lay(canvas: Canvas, figure: _Drawn) -> None:
    region = _region(figure)
    canvas[region] = canvas[region] * (1 - figure.layer[:, :, 3:]) + figure.layer[:, :, :3]


def _region(figure: _Drawn) -> tuple[slice, slice]:
    height, width = figure.layer.shape[:2]
    return slice(figure.top, figure.top + height), slice(figure.left, figure.left + width)


def _rounded(box: Box) -> Box:
    return Box(round(box.left, 1), round(box.top, 1), round(box.width, 1), round(box.height, 1))
