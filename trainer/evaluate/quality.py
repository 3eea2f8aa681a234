"""How much a model loses when the pictures are worse, as in the paper's table 4."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from server.domain import Image
from trainer.data.augment import jpeg, low_resolution
from trainer.evaluate.embed import Embed

JPEG_QUALITIES = (10, 20, 30, 50, 70, 90)
PIXELS = (1_600, 6_400, 14_400, 25_600, 65_536)
"""The rows of the paper's table 4."""


class Worse(Enum):
    """What makes pictures worse."""

    COMPRESSED = "JPEG quality"
    SMALLER = "pixels"


@dataclass(frozen=True, slots=True)
class Degradation:
    """A way of making every crop worse.

    Attributes:
        kind: what is made worse.
        level: the JPEG quality, or the number of pixels that are left.
        apply: crop to crop of the same size.
    """

    kind: Worse
    level: int
    apply: Callable[[Image], Image]

    @property
    def name(self) -> str:
        """For the table."""
        return f"JPEG quality {self.level}" if self.kind is Worse.COMPRESSED else f"{self.level:,} pixels"


def degradations(height: int, width: int) -> tuple[Degradation, ...]:
    """The rows of the paper's table 4 that make crops of this size worse.

    Pixel counts are those of the crop: the side of a square picture with so many pixels becomes its longer side.
    """
    compressed = [Degradation(Worse.COMPRESSED, quality, partial(jpeg, quality=quality)) for quality in JPEG_QUALITIES]
    smaller = [
        Degradation(Worse.SMALLER, count, partial(low_resolution, side=round(sqrt(count))))
        for count in PIXELS
        if sqrt(count) < max(height, width)
    ]
    return (*compressed, *smaller)


def degraded(embed: Embed, how: Degradation) -> Embed:
    """Embeds crops as they look when they are made worse."""

    def worse(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return embed(np.stack([how.apply(image) for image in images]))

    return worse
