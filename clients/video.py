"""Pictures to an MP4 file, with PyAV."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from clients.errors import OutputError, UsageError
from clients.frames import Image
from clients.text import printable

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

_TICKS = 15_360
"""Units of time per second in the file: fine enough for any rate, and few enough for MPEG-4."""

_CODECS = {"libx264": {"preset": "veryfast", "crf": "21"}, "mpeg4": {"qscale": "4"}}
"""H.264 where this build of PyAV has it, and what every build has."""


def checked_video_path(path: Path) -> Path:
    """The path as it is.

    Raises:
        UsageError: no MP4 file can be written there.
    """
    if path.suffix.lower() != ".mp4":
        raise UsageError(f"{printable(path)} does not end in .mp4", "choose a name such as annotated.mp4")
    if not path.parent.is_dir():
        raise UsageError(f"{printable(path.parent)}: no such folder", "make it first, or choose another one")
    if path.is_dir():
        raise UsageError(f"{printable(path)} is a folder", "choose another name")
    return path


class VideoWriter:
    """Writes pictures at their times. The file appears under its name when it is complete.

    Pictures of another size than the first one's are fitted into it, with black borders.

    Args:
        path: ends in .mp4; what is there is replaced at the end.
        fps: pictures per second to expect; 0 when that isn't known. The times count, not this.
    """

    def __init__(self, path: Path, *, fps: float = 0.0) -> None:
        self._path = checked_video_path(path)
        self._partial = path.with_name(f".{path.stem}.partial.mp4")
        self._fps = fps if fps > 0 else 25.0
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._last_ticks = -1
        self.written = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, image: Image, *, at_ns: int) -> None:
        """Adds a picture; one that is not later than the one before is left out.

        Args:
            image: (H, W, 3) uint8 BGR.
            at_ns: time since the start of the video, nanoseconds.

        Raises:
            OutputError: the file cannot be written.
        """
        import av
        import cv2
        import numpy as np

        ticks = round(at_ns * _TICKS / 1e9)
        if ticks <= self._last_ticks:
            return
        try:
            container, stream = self._opened(image)
            # OpenCV's conversion: FFmpeg's default one rounds down, which darkens a picture and turns it green.
            planes = cv2.cvtColor(_fitted(image, stream.width, stream.height), cv2.COLOR_BGR2YUV_I420)
            frame = av.VideoFrame.from_ndarray(np.asarray(planes, np.uint8), format="yuv420p")
            frame.pts, frame.time_base = ticks, Fraction(1, _TICKS)
            container.mux(stream.encode(frame))
        except (av.error.FFmpegError, OSError) as error:
            raise self._abandoned(error.strerror) from error
        self._last_ticks = ticks
        self.written += 1

    def close(self) -> None:
        """Completes the file; without a single picture there is none.

        Raises:
            OutputError: the file cannot be written.
        """
        import av

        container, stream = self._container, self._stream
        if container is None or stream is None:
            return
        self._container = self._stream = None
        try:
            container.mux(stream.encode(None))
            container.close()
            self._partial.replace(self._path)
        except (av.error.FFmpegError, OSError) as error:
            self._container = container
            raise self._abandoned(error.strerror) from error

    def _abandoned(self, reason: str | None) -> OutputError:
        """Gives the file up; says why."""
        import av

        container, self._container, self._stream = self._container, None, None
        with contextlib.suppress(av.error.FFmpegError, OSError):
            if container is not None:
                container.close()
        with contextlib.suppress(OSError):
            self._partial.unlink()
        return OutputError(f"{printable(self._path)} cannot be written: {reason}")

    def _opened(self, image: Image) -> tuple[OutputContainer, VideoStream]:
        import av

        if self._container is None or self._stream is None:
            self._container = av.open(str(self._partial), "w", format="mp4")
            codec = next(name for name in _CODECS if name in av.codecs_available)
            rate = Fraction(self._fps).limit_denominator(1001)
            stream = cast("VideoStream", self._container.add_stream(codec, rate=rate, options=_CODECS[codec]))
            height, width = image.shape[:2]
            # Half-resolution colour wants even sides.
            stream.width, stream.height = width + width % 2, height + height % 2
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = Fraction(1, _TICKS)
            self._stream = stream
        return self._container, self._stream


def _fitted(image: Image, width: int, height: int) -> Image:
    """The picture in a frame of this size, shrunk or enlarged to fit unless only an odd side is missing."""
    import cv2

    rows, columns = image.shape[:2]
    if (columns, rows) == (width, height):
        return image
    if not (0 <= width - columns <= 1 and 0 <= height - rows <= 1):
        scale = min(width / columns, height / rows)
        columns, rows = max(1, round(columns * scale)), max(1, round(rows * scale))
        image = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    top, left = (height - rows) // 2, (width - columns) // 2
    return cv2.copyMakeBorder(  # type: ignore[return-value]
        image, top, height - rows - top, left, width - columns - left, cv2.BORDER_CONSTANT, value=(0, 0, 0)
    )
