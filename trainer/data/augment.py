"""What cameras do to faces: pure functions on (H, W, 3) uint8 BGR crops that keep the size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np

from server.domain import Image


def mirror(image: Image) -> Image:
    """The mirror image."""
    return np.ascontiguousarray(image[:, ::-1])


def move(image: Image, *, degrees: float, scale: float, shift: tuple[float, float]) -> Image:
    """Turned (counter-clockwise) and scaled about the centre, then shifted; the border repeats the edge's pixels.

    Args:
        image: the crop.
        degrees: of the turn.
        scale: 1 keeps the size, more enlarges.
        shift: to the right and down, as shares of the width and height.
    """
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, scale)
    matrix[:, 2] += (shift[0] * width, shift[1] * height)
    moved = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def light(image: Image, *, gain: float, offset: float, gamma: float) -> Image:
    """Another exposure: 255 * (value / 255) ** gamma * gain + offset, clipped to 0..255."""
    levels = np.arange(256, dtype=np.float64)
    table = 255 * (levels / 255) ** gamma * gain + offset
    return np.asarray(cv2.LUT(image, np.clip(np.rint(table), 0, 255).astype(np.uint8)), np.uint8)


def low_resolution(image: Image, side: int) -> Image:
    """As a camera sees it that has only `side` pixels for the longer side of the crop, enlarged again."""
    height, width = image.shape[:2]
    factor = side / max(height, width)
    if factor >= 1:
        return image
    small = (max(1, round(width * factor)), max(1, round(height * factor)))
    shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def blur(image: Image, sigma: float) -> Image:
    """Out of focus: a Gaussian of `sigma` pixels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def noise(image: Image, sigma: float, generator: np.random.Generator) -> Image:
    """A dark scene: Gaussian noise with a standard deviation of `sigma` grey levels."""
    grain = generator.normal(0, sigma, image.shape)
    return np.clip(np.rint(image + grain), 0, 255).astype(np.uint8)


def occlude(image: Image, box: tuple[int, int, int, int], level: int) -> Image:
    """Something in front: left, top, right, bottom in pixels, filled with a grey level."""
    left, top, right, bottom = box
    covered = image.copy()
    covered[top:bottom, left:right] = level
    return covered


def jpeg(image: Image, quality: int) -> Image:
    """Compressed at a JPEG quality of 1..100, and decoded."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


_CHANCES = ("mirror", "move", "light", "low_resolution", "blur", "noise", "occlude", "jpeg")

LIMITS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "degrees": (0, 180),
        "scale": (0.01, 100),
        "shift": (0, 1),
        "gain": (0, 255),
        "offset": (0, 255),
        "gamma": (0.01, 100),
        "side": (1, 4096),
        "blur_sigma": (0.01, 100),
        "noise_sigma": (0, 255),
        "occlude_share": (0, 1),
        "jpeg_quality": (1, 100),
    }
)
"""What the strengths may be; outside of it an effect fails, or leaves nothing of a face."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How often and how strongly each of them happens to a crop; chances are 0..1, ranges (least, most).

    The defaults are mild enough for aligned crops and wide enough for cameras in rooms. Chances of 0 switch an effect
    off; `Augmentation.none()` switches all off.
    """

    mirror: float = 0.5
    move: float = 0.5
    degrees: float = 8.0
    scale: tuple[float, float] = (0.95, 1.08)
    shift: float = 0.03
    light: float = 0.5
    gain: tuple[float, float] = (0.6, 1.3)
    offset: float = 15.0
    gamma: tuple[float, float] = (0.7, 1.5)
    low_resolution: float = 0.15
    side: tuple[int, int] = (28, 80)
    blur: float = 0.1
    blur_sigma: tuple[float, float] = (0.5, 1.8)
    noise: float = 0.1
    noise_sigma: tuple[float, float] = (2.0, 10.0)
    occlude: float = 0.1
    occlude_share: tuple[float, float] = (0.15, 0.45)
    jpeg: float = 0.25
    jpeg_quality: tuple[int, int] = (20, 90)

    def __post_init__(self) -> None:
        for name in _CHANCES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a chance in 0..1, not {getattr(self, name)}")
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            least, most = value if isinstance(value, tuple) else (value, value)
            if not low <= least <= most <= high:
                raise ValueError(f"{name} lies in {low:g}..{high:g}, the least before the most, and is not {value}")

    @staticmethod
    def none() -> Augmentation:
        """Leaves every crop as it is."""
        return Augmentation(mirror=0, move=0, light=0, low_resolution=0, blur=0, noise=0, occlude=0, jpeg=0)


def augment(image: Image, how: Augmentation, generator: np.random.Generator) -> Image:
    """The crop as another camera might have seen it, in the order of a camera: pose, light, optics, sensor, codec.

    The same state of the generator gives the same picture.
    """
    image = _pose_and_light(image, how, generator)
    if generator.random() < how.low_resolution:
        image = low_resolution(image, int(generator.integers(*how.side, endpoint=True)))
    if generator.random() < how.blur:
        image = blur(image, generator.uniform(*how.blur_sigma))
    if generator.random() < how.noise:
        image = noise(image, generator.uniform(*how.noise_sigma), generator)
    if generator.random() < how.jpeg:
        image = jpeg(image, int(generator.integers(*how.jpeg_quality, endpoint=True)))
    return image


def _pose_and_light(image: Image, how: Augmentation, generator: np.random.Generator) -> Image:
    if generator.random() < how.mirror:
        image = mirror(image)
    if generator.random() < how.move:
        shift = generator.uniform(-how.shift, how.shift, 2)
        image = move(
            image,
            degrees=generator.uniform(-how.degrees, how.degrees),
            scale=generator.uniform(*how.scale),
            shift=(shift[0], shift[1]),
        )
    if generator.random() < how.occlude:
        box = _box(image, how.occlude_share, generator)
        image = occlude(image, box, int(generator.integers(256)))
    if generator.random() < how.light:
        gain, gamma = generator.uniform(*how.gain), generator.uniform(*how.gamma)
        offset = generator.uniform(-how.offset, how.offset)
        image = light(image, gain=gain, offset=offset, gamma=gamma)
    return image


def _box(image: Image, share: tuple[float, float], generator: np.random.Generator) -> tuple[int, int, int, int]:
    """A random rectangle inside the picture whose sides are `share` of the picture's."""
    height, width = image.shape[:2]
    box_height, box_width = (round(side * generator.uniform(*share)) for side in (height, width))
    top = int(generator.integers(height - box_height + 1))
    left = int(generator.integers(width - box_width + 1))
    return left, top, left + box_width, top + box_height
