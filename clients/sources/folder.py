"""Folders of pictures, and single pictures."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from clients.errors import SourceError, SourceNotFoundError
from clients.frames import Frame, Stamp
from clients.photos import pictures_in
from clients.text import printable

_log = logging.getLogger(__name__)

DEFAULT_FPS = 5.0


class Pictures:
    """Pictures, one frame each, in the given order. Files that are no picture are left out with a warning.

    Args:
        paths: the files.
        fps: pictures per second of the made-up time; 0 means 5.
        description: for people.
        clock: wall clock, nanoseconds since the epoch.
    """

    live = False

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        fps: float = 0.0,
        description: str = "pictures",
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._paths = tuple(paths)
        self._clock = clock
        self._closed = False
        self.description = description
        self.fps = fps if fps > 0 else DEFAULT_FPS
        self.expected = len(self._paths)

    def __iter__(self) -> Iterator[Frame]:
        import cv2

        read = 0
        for number, path in enumerate(self._paths, start=1):
            if self._closed:
                return
            try:
                image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            except cv2.error:
                image = None
            if image is None:
                _log.warning("%s is no picture that can be read and is left out", printable(path))
                continue
            read += 1
            position_ns = round((number - 1) / self.fps * 1e9)
            yield Frame(Stamp(number, self._clock(), position_ns), image)  # type: ignore[arg-type]
        if read == 0:
            raise SourceError(f"{self.description}: none of {len(self._paths)} files is a picture that can be read")

    def interrupt(self) -> None:
        """Ends the iteration at the next picture."""
        self._closed = True

    def close(self) -> None:
        """Ends the iteration at the next picture."""
        self._closed = True


def picture_folder(folder: Path, *, fps: float = 0.0) -> Pictures:
    """The pictures in a folder by name, with numbers by their value: frame2 before frame10.

    Raises:
        SourceNotFoundError: there is no such folder.
        SourceError: it holds no picture.
    """
    if not folder.is_dir():
        raise SourceNotFoundError(f"{printable(folder)}: no such folder")
    return Pictures(pictures_in(folder), fps=fps, description=printable(folder))
