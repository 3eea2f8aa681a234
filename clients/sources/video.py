"""Video files."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from clients.errors import SourceError, SourceNotFoundError
from clients.frames import Frame
from clients.sources.decoding import Decoding, video_stream
from clients.text import printable

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_log = logging.getLogger(__name__)

_TOLERANCE = 0.02
"""Share of the declared frames that may be missing without a word: the number is an estimate in many files."""


class VideoFile:
    """The frames of a video file.

    Args:
        path: the file.
        fps: frames per second of the video's own time to keep; 0 keeps all.

    Raises:
        SourceNotFoundError: there is no such file.
        SourceError: it is no video that can be read.
    """

    live = False

    def __init__(self, path: Path, *, fps: float = 0.0) -> None:
        self.description = printable(path)
        self._container, stream = open_video(path)
        stream.thread_type = "AUTO"
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        self._declared = stream.frames or round(_seconds(self._container, stream) * rate)
        self._decoding = Decoding(self._container, stream, fps=fps)
        self.fps = min(fps, rate) if fps > 0 and rate > 0 else rate
        thinned = fps > 0 and rate > fps
        self.expected = round(self._declared * fps / rate) if thinned else self._declared

    def __iter__(self) -> Iterator[Frame]:
        try:
            yield from self._decoding.frames()
        except SourceError:
            if self._decoding.sequence == 0:
                raise
            # What could be read is worth having; the warning says what is missing.
        read, damaged = self._decoding.sequence, self._decoding.damaged
        missing = read < self._declared * (1 - _TOLERANCE)
        if read == 0:
            raise SourceError(f"{self.description} holds no frame that can be decoded", "the file is damaged")
        if damaged or missing:
            _log.warning(
                "%s is damaged or incomplete: %d frames could be read of %s",
                self.description,
                read,
                self._declared or "an unknown number",
            )

    def interrupt(self) -> None:
        """Does nothing: reading a file does not wait."""

    def close(self) -> None:
        """Closes the file."""
        self._container.close()


def open_video(path: Path) -> tuple[InputContainer, VideoStream]:
    """A file and the video in it.

    Raises:
        SourceNotFoundError: there is no such file.
        SourceError: it is no video that can be read.
    """
    import av

    description = printable(path)
    if not path.is_file():
        raise SourceNotFoundError(f"{description}: no such file")
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise SourceError(
            f"{description} cannot be read as a video: {error.strerror}",
            "it is damaged, incomplete or no video; try whether a player opens it",
        ) from error
    try:
        return container, video_stream(container, description)
    except SourceError:
        container.close()
        raise


def _seconds(container: InputContainer, stream: VideoStream) -> float:
    """How long the video says it is; 0 when it doesn't, or when that may be the length of its sound."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / 1e6
    return 0.0
