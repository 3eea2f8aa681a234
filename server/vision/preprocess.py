"""Images and crops to a network's input, exactly as its manifest says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from server.domain import ColourOrder, Faces, Image, PixelSpec


@dataclass(frozen=True, slots=True)
class Letterbox:
    """An image fitted into the top left of a network's input.

    Attributes:
        width: of the input, pixels.
        height: of the input, pixels.
        scale: pixels of the input per pixel of the image.
    """

    width: int
    height: int
    scale: float

    def to_image(self, faces: Faces) -> Faces:
        """Faces in pixels of the input, as faces in pixels of the image."""
        return Faces(
            (faces.boxes / self.scale).astype(np.float32),
            (faces.landmarks / self.scale).astype(np.float32),
            faces.scores,
        )


def letterbox_for(image: Image, *, longest_side: int, multiple: int) -> Letterbox:
    """The smallest input that holds an image whose longer side is at most `longest_side` pixels.

    Images are shrunk, never enlarged; both sides of the input are rounded up to a multiple.
    """
    height, width = image.shape[:2]
    scale = min(1.0, longest_side / max(height, width))
    sides = (max(1, round(side * scale)) for side in (width, height))
    padded_width, padded_height = (-(-side // multiple) * multiple for side in sides)
    return Letterbox(padded_width, padded_height, scale)


def fit(image: Image, box: Letterbox) -> Image:
    """The image, shrunk and padded with black to the letterbox: (height, width, 3) uint8 BGR."""
    canvas = np.empty((box.height, box.width, 3), np.uint8)
    width, height = inner_size((image.shape[1], image.shape[0]), box)
    canvas[height:] = 0
    canvas[:height, width:] = 0
    inside = canvas[:height, :width]
    if box.scale == 1.0:
        inside[:] = image
    else:
        shrink(image, inside)
    return canvas


def inner_size(size: tuple[int, int], box: Letterbox) -> tuple[int, int]:
    """(width, height) that an image of this (width, height) has in the letterbox, pixels."""
    width, height = (max(1, round(side * box.scale)) for side in size)
    return min(box.width, width), min(box.height, height)


def shrink(image: Image, small: Image) -> None:
    """Fills a smaller picture with a larger one of the same proportions, anti-aliased.

    Halving by averaging is fast, and down from there to another half bilinear sampling skips no pixel; averaging to
    any size at once costs several times as much.

    Args:
        image: (H, W, 3) uint8.
        small: (h, w, 3) uint8, written.
    """
    height, width = small.shape[:2]
    while (half := _half((image.shape[1], image.shape[0]), (width, height))) is not None:
        image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.uint8)
    cv2.resize(image, (width, height), dst=small, interpolation=cv2.INTER_LINEAR)


def halved(size: tuple[int, int], small: tuple[int, int]) -> tuple[int, int]:
    """What is left of a picture when `shrink` has halved it as often as it goes.

    Args:
        size: (width, height) of the picture, pixels.
        small: (width, height) that it is shrunk to, pixels.
    """
    while (half := _half(size, small)) is not None:
        size = half
    return size


def _half(size: tuple[int, int], small: tuple[int, int]) -> tuple[int, int] | None:
    """Half a picture's width and height; None when that is less than wanted."""
    if size[0] < 2 * small[0] or size[1] < 2 * small[1]:
        return None
    return size[0] // 2, size[1] // 2


def to_tensor(images: Sequence[Image] | NDArray[np.uint8], pixels: PixelSpec) -> NDArray[np.float32]:
    """Images of one size as (N, 3, H, W) float32: (value - mean) / std in the network's colour order.

    Args:
        images: N images (H, W, 3) uint8 BGR, N >= 1.
        pixels: the network's wish.
    """
    height, width = images[0].shape[:2]
    tensor = np.empty((len(images), 3, height, width), np.float32)
    for image, planes in zip(images, tensor, strict=True):
        channels = cv2.split(image)  # several times as fast as cv2.dnn.blobFromImages, and the same numbers
        if pixels.colour is ColourOrder.RGB:
            channels = channels[::-1]
        for plane, channel in zip(planes, channels, strict=True):
            plane[:] = channel
    if pixels.mean != (0.0, 0.0, 0.0):
        tensor -= np.asarray(pixels.mean, np.float32)[:, None, None]
    if pixels.std != (1.0, 1.0, 1.0):
        tensor /= np.asarray(pixels.std, np.float32)[:, None, None]
    return tensor
