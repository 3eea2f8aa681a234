"""What light and lens do to a figure: relighting, blur, and the noise of a sensor."""

from __future__ import annotations

import math
from typing import TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.motion import Placement

Layer: TypeAlias = NDArray[np.float32]
"""(H, W, 4) float32: blue, green, red (0..255, already multiplied by the matte), matte (0..1)."""

Image: TypeAlias = NDArray[np.uint8]

_BANKS = 6


def relit(image: Image, placement: Placement) -> Image:
    """The picture under the placement's light."""
    levels = np.arange(256, dtype=np.float32) / 255
    table = np.clip(255 * placement.gain * levels**placement.gamma, 0, 255).astype(np.uint8)
    return cast("Image", cv2.LUT(image, table))


def blurred(layer: Layer, placement: Placement) -> Layer:
    """The layer out of focus and smeared along the walk."""
    layer = cast("Layer", cv2.GaussianBlur(layer, (0, 0), placement.defocus_px))
    length = round(placement.motion_px)
    return layer if length < 2 else cast("Layer", cv2.blur(layer, (length, 1)))


def blur_px(placement: Placement) -> float:
    """Standard deviation of both blurs together; a box of length n has n / sqrt(12)."""
    return math.hypot(placement.defocus_px, placement.motion_px / math.sqrt(12))


class Sensor:
    """Adds noise and flicker, and compresses each frame as a cheap camera does. The same every time."""

    def __init__(self, width: int, height: int) -> None:
        self._random = np.random.default_rng(11)
        noise = self._random.normal(0, 3.2, (_BANKS, height, width, 3))
        self._noise = noise.astype(np.int16)

    def expose(self, frame: NDArray[np.float32], number: int) -> Image:
        """(H, W, 3) BGR: the frame as it comes out of the camera."""
        flicker = 1 + 0.025 * math.sin(number / 7)
        noisy = frame * flicker + self._noise[int(self._random.integers(_BANKS))]
        quality = int(self._random.integers(62, 90))
        _, data = cv2.imencode(".jpg", np.clip(noisy, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
        return cast("Image", cv2.imdecode(data, cv2.IMREAD_COLOR))
