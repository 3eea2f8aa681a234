"""In which frames faces are searched for."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import cv2
import numpy as np
from numpy.typing import NDArray

from server.vision.decode import Picture

_SIZE = (32, 18)
_STILL_LEVELS = 4
"""Grey levels by which no cell of a 32x18 picture may differ from the last searched one while nothing moves."""


class Search(Enum):
    """Whether faces are searched for in a frame.

    NOW: they are.
    SKIPPED: they are not; faces are where their motion takes them.
    STILL: they are not, because nothing has moved since the last search.
    """

    NOW = "now"
    SKIPPED = "skipped"
    STILL = "still"


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
    """Decides for each frame of a camera whether faces are searched for in it.

    Frames may come out of order: one that is older than the last searched one is no measure of stillness.
    """

    rule: DetectionPace
    _last: tuple[NDArray[np.int16], int] | None = field(default=None, init=False)
    _size: tuple[int, int] | None = field(default=None, init=False)

    def step(self, number: int, picture: Picture, at_ns: int) -> Search:
        """Whether to search.

        Args:
            number: of the frame, from 0.
            picture: of any size; one of another size than before is searched, since places in it are others.
            at_ns: when it was captured.
        """
        size = (picture.width, picture.height)
        resized = self._size is not None and size != self._size
        self._size = size
        if number % self.rule.interval and not resized:
            return Search.SKIPPED
        if self.rule.still_ns == 0:
            return Search.NOW
        grey = cv2.cvtColor(cv2.resize(picture.pixels, _SIZE, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
        small = grey.astype(np.int16)
        if not resized and self._is_still(small, at_ns):
            return Search.STILL
        if self._last is None or at_ns >= self._last[1]:
            self._last = (small, at_ns)
        return Search.NOW

    def _is_still(self, small: NDArray[np.int16], at_ns: int) -> bool:
        if self._last is None:
            return False
        searched, searched_ns = self._last
        recent = 0 <= at_ns - searched_ns < self.rule.still_ns
        return bool(recent and np.abs(small - searched).max() <= _STILL_LEVELS)
