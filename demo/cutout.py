"""Cuts a person out of a portrait: GrabCut (Rother et al. 2004) between head and shoulders and what is behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.geometry import Box

Image: TypeAlias = NDArray[np.uint8]
"""(H, W, 3) uint8, BGR."""

Matte: TypeAlias = NDArray[np.float32]
"""(H, W) float32: 0 is background, 1 the person."""

_FACE_HEIGHT = 240.0
"""Portraits are brought to this height of the face, pixels: a little more than the largest in the video."""

_CUT_SCALE = 0.6
"""GrabCut runs on a picture that is smaller by this."""

_SHOULDERS = 1.1
"""Half the width of a person at the arms, in heights of the face."""

_NECK = 0.6
"""Half the width within which shoulders and hair stay as they are, in heights of the face."""

_DROP = 0.9
"""How far the shoulders fall from there to the arms, in heights of the face."""

_TORSO = 1.7
"""How far a person reaches below the middle of the face, in heights of the face."""


@dataclass(frozen=True, slots=True, eq=False)
class Cutout:
    """A person without background.

    Attributes:
        image: colours, also where the matte is 0.
        matte: which pixels are the person.
        face: where the face is in the image.
    """

    image: Image
    matte: Matte
    face: Box


def cut_out(photo: Image, face: Box) -> Cutout:
    """The person whose face is in the box, with a torso that goes on below the photograph's edge.

    Args:
        photo: shows one person from the front, head and shoulders.
        face: box of the face in pixels of the photo.
    """
    scale = _FACE_HEIGHT / face.height
    size = (round(photo.shape[1] * scale), round(photo.shape[0] * scale))
    image = cast("Image", cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC))
    face = face.scaled(scale)
    return _with_torso(Cutout(image, _matte(image, face), face))


def _matte(image: Image, face: Box) -> Matte:
    small = cast("Image", cv2.resize(image, None, fx=_CUT_SCALE, fy=_CUT_SCALE, interpolation=cv2.INTER_AREA))
    labels = _first_guess(small.shape[0], small.shape[1], face.scaled(_CUT_SCALE))
    cv2.setRNGSeed(1)  # GrabCut starts with a random clustering of the colours
    cv2.grabCut(small, labels, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_MASK)
    person = _largest_part(((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.uint8))
    # The edge is drawn inwards a little, so that no rim of the old background is left around the hair.
    soft = np.clip((cv2.GaussianBlur(person.astype(np.float32), (0, 0), 1.6) - 0.35) / 0.6, 0, 1)
    large = cv2.resize(soft, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_CUBIC)
    return cast("Matte", np.clip(cv2.GaussianBlur(large, (0, 0), 1.2), 0, 1).astype(np.float32))


def _first_guess(height: int, width: int, face: Box) -> Image:
    """GrabCut's labels before it starts: head and shoulders from the proportions of people."""
    labels = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
    x = face.centre[0]
    _ellipse(labels, (x, face.top + 0.42 * face.height), (0.72 * face.width, 0.80 * face.height), cv2.GC_PR_FGD)
    _shoulders(labels, face, (0.95, 1.35), (0.4, 1.2, 1.3), cv2.GC_PR_FGD)
    _ellipse(labels, (x, face.top + 0.45 * face.height), (0.47 * face.width, 0.52 * face.height), cv2.GC_FGD)
    _shoulders(labels, face, (1.0, 1.45), (0.2, 0.6, 0.9), cv2.GC_FGD)
    beside, above = round(face.top + 0.7 * face.height), max(1, round(face.top - 0.45 * face.height))
    labels[:above] = cv2.GC_BGD
    labels[:beside, : max(1, round(x - 1.25 * face.width))] = cv2.GC_BGD
    labels[:beside, min(width - 1, round(x + 1.25 * face.width)) :] = cv2.GC_BGD
    return labels


def _ellipse(labels: Image, centre: tuple[float, float], axes: tuple[float, float], label: int) -> None:
    (x, y), (a, b) = centre, axes
    cv2.ellipse(labels, (round(x), round(y)), (round(a), round(b)), 0, 0, 360, label, -1)


def _shoulders(
    labels: Image, face: Box, tops: tuple[float, float], halves: tuple[float, float, float], label: int
) -> None:
    """Fills neck, shoulders and chest.

    Args:
        labels: to write to.
        face: the unit and origin of the following.
        tops: of neck and shoulders below the top of the face, in heights of the face.
        halves: half widths of neck, shoulders and the lower edge, in widths of the face.
        label: to write.
    """
    x, bottom = face.centre[0], float(labels.shape[0])
    ys = (face.top + tops[0] * face.height, face.top + tops[1] * face.height, bottom)
    right = [(x + half * face.width, y) for half, y in zip(halves, ys, strict=True)]
    left = [(2 * x - px, y) for px, y in reversed(right)]
    cv2.fillPoly(labels, [np.array([*right, *left]).round().astype(np.int32)], label)


def _largest_part(mask: Image) -> Image:
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(mask)
    return cast("Image", (parts == 1 + np.argmax(statistics[1:, cv2.CC_STAT_AREA])).astype(np.uint8))


def _with_torso(cut: Cutout) -> Cutout:
    """The cutout, continued below and beside the photograph's edges, with arms that hang down."""
    height, width = cut.matte.shape
    unit, x = cut.face.height, cut.face.centre[0]
    down = max(0, round(cut.face.centre[1] + _TORSO * unit) - height)
    left = max(0, round(_SHOULDERS * unit - x) + 4)
    right = max(0, round(x + _SHOULDERS * unit) - width + 4)
    around = (0, down, left, right)
    image = cv2.copyMakeBorder(_without_background(cut), *around, cv2.BORDER_REPLICATE)
    # Stripes of single edge pixels would show; a blur along the edges leaves only the jacket's shades.
    blurred = cv2.GaussianBlur(image, (0, 0), 7)
    inside = np.zeros((height + down, left + width + right), np.float32)
    inside[:height, left : left + width] = 1
    weight = cv2.erode(inside, np.ones((9, 9)))
    weight = cv2.GaussianBlur(weight, (0, 0), 3)[:, :, None]
    mixed = np.clip(image * weight + blurred * (1 - weight), 0, 255).astype(np.uint8)
    matte = cv2.copyMakeBorder(cut.matte, *around, cv2.BORDER_REPLICATE)
    face = cut.face.moved(left, 0)
    return Cutout(mixed, cast("Matte", matte * _body_shape(matte.shape, face)), face)


def _without_background(cut: Cutout) -> Image:
    """The picture with the person's nearest colours where the background was: no old rim shows around the edge."""
    weight = cut.matte[:, :, None] ** 2
    near = [cv2.GaussianBlur(part, (0, 0), 9) for part in (cut.image * weight, cut.matte**2)]
    far = [cv2.GaussianBlur(part, (0, 0), 45) for part in (cut.image * weight, cut.matte**2)]
    colours = (near[0] + 1e-2 * far[0]) / (near[1] + 1e-2 * far[1] + 1e-9)[:, :, None]
    return cast("Image", np.clip(cut.image * weight + colours * (1 - weight), 0, 255).astype(np.uint8))


def _body_shape(shape: tuple[int, ...], face: Box) -> Matte:
    """Where a body can be: not above the shoulders and not beside the arms."""
    unit, x, chin = face.height, face.centre[0], face.top + face.height
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    aside = np.abs(columns - x)
    along = np.clip((aside / unit - _NECK) / (_SHOULDERS - _NECK), 0, 1)
    shoulder = chin + _DROP * unit * (1 - np.sqrt(1 - along**2))
    beside = np.clip((_SHOULDERS * unit - aside) / 3, 0, 1)
    free = (rows < chin + 0.15 * unit) | (aside < _NECK * unit)
    return cast("Matte", np.where(free, beside, np.clip((rows - shoulder) / 3, 0, 1) * beside).astype(np.float32))
