"""In which frames faces are searched for."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from server.domain import Image

_SIZE = (32, 18)
_STILL_LEVELS = 4
"""Grey levels by which no cell of a 32x18 picture may differ from the last searched one while nothing moves."""


@dataclass(frozen=True, slots=True)
class DetectionPace:
    """How often faces are searched for.

    Attributes:
        interval: in every so many frames; between, faces are where their motion takes them.
        still_ns: while the picture stands still, only so often; 0 for no such saving.
    """

    interval: int = 1
    still_ns: int = 0


@dataclass(slots=True)
class Rhythm:
    """Decides for each frame of a camera whether faces are searched for in it."""

    rule: DetectionPace
    _last: tuple[NDArray[np.int16], int] | None = field(default=None, init=False)

    def wants(self, number: int, pixels: Image, at_ns: int) -> bool:
        """Whether to search.

        Args:
            number: of the frame, from 0.
            pixels: (H, W, 3) uint8 BGR of any size.
            at_ns: when it was captured.
        """
        if number % self.rule.interval:
            return False
        if self.rule.still_ns == 0:
            return True
        grey = cv2.cvtColor(cv2.resize(pixels, _SIZE, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
        small = grey.astype(np.int16)
        last = self._last
        if last is not None and at_ns - last[1] < self.rule.still_ns and np.abs(small - last[0]).max() <= _STILL_LEVELS:
            return False
        self._last = (small, at_ns)
        return True
