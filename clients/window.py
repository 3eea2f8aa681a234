"""A window that shows frames."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Self

import cv2

from clients.errors import OutputError
from clients.frames import Image

_TITLE = "facestream"
_ESCAPE = 27
_HINT = "run without --show, or watch the video that --save FILE.mp4 writes"


class Window:
    """A window. All calls come from the main thread.

    Raises:
        OutputError: there is no display, or this OpenCV has no windows.
    """

    def __init__(self) -> None:
        # Asked first, because the window library ends the whole process where there is no display.
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise OutputError("there is no display to open a window on (DISPLAY is not set)", _HINT)
        try:
            cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        except cv2.error as error:
            raise OutputError("this OpenCV cannot open windows (the headless variant is installed)", _HINT) from error
        self._sized = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        cv2.destroyAllWindows()

    def show(self, image: Image) -> bool:
        """Shows a picture; False when the user closed the window or pressed q or Escape."""
        if not self._sized:
            cv2.resizeWindow(_TITLE, image.shape[1], image.shape[0])
            self._sized = True
        cv2.imshow(_TITLE, image)
        key = cv2.waitKey(1) & 0xFF
        closed = cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) < 1
        return key not in (_ESCAPE, ord("q")) and not closed
