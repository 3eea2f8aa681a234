"""Cameras that are plugged in."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from clients.errors import SourceError, SourceNotFoundError
from clients.frames import Frame, Stamp
from clients.sources.source import Thinning


class Webcam:
    """The frames of the camera with this index, 0 being the first.

    Args:
        index: of the camera.
        fps: frames per second to keep at most; 0 keeps all.
        clock: wall clock, nanoseconds since the epoch.

    Raises:
        SourceNotFoundError: there is no such camera.
        SourceError: it cannot be opened.
    """

    live = True
    expected = 0

    def __init__(self, index: int, *, fps: float = 0.0, clock: Callable[[], int] = time.time_ns) -> None:
        import cv2

        self.description = f"webcam {index}"
        device = Path(f"/dev/video{index}")
        # Asked first on Linux, because OpenCV answers a missing device with a page of warnings.
        if sys.platform == "linux" and not device.exists():
            raise SourceNotFoundError(
                f"there is no webcam {index} ({device} does not exist)", "plug it in, or try another number"
            )
        self._capture = cv2.VideoCapture(index)
        if not self._capture.isOpened():
            raise SourceError(f"webcam {index} cannot be opened", "another program may be using it")
        # One frame of buffer: a frame that waited in the driver is an old frame.
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self.fps = float(self._capture.get(cv2.CAP_PROP_FPS)) or 0.0
        self._thinning = Thinning(fps)
        self._clock = clock

    def __iter__(self) -> Iterator[Frame]:
        first_ns = self._clock()
        number = 0
        while self._capture.isOpened():
            good, image = self._capture.read()
            if not good:
                raise SourceError(f"{self.description} gives no more frames", "check its cable")
            number += 1
            captured_at_ns = self._clock()
            position_ns = max(0, captured_at_ns - first_ns)
            if self._thinning.keep(position_ns):
                yield Frame(Stamp(number, captured_at_ns, position_ns), image)  # type: ignore[arg-type]

    def interrupt(self) -> None:
        """Does nothing: a webcam gives a frame soon, or fails."""

    def close(self) -> None:
        """Lets go of the camera."""
        self._capture.release()
