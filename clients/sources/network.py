"""Network cameras: RTSP, and video over HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from clients.errors import SourceError
from clients.frames import Frame
from clients.sources.decoding import Decoding, video_stream
from clients.text import printable

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

SCHEMES = ("rtsp", "rtsps", "http", "https")

_OPEN_TIMEOUT_S = 10.0
_READ_TIMEOUT_S = 5.0


class NetworkCamera:
    """The frames of a camera at a URL, by TCP.

    Args:
        url: rtsp://, rtsps://, http:// or https://, with user and password where the camera wants them.
        fps: frames per second to keep at most; 0 keeps all.
        open_timeout_s: how long the camera may take to answer.
        read_timeout_s: how long it may be silent.

    Raises:
        SourceError: the camera does not answer, refuses, or sends no video.
    """

    live = True
    expected = 0

    def __init__(
        self,
        url: str,
        *,
        fps: float = 0.0,
        open_timeout_s: float = _OPEN_TIMEOUT_S,
        read_timeout_s: float = _READ_TIMEOUT_S,
    ) -> None:
        self.description = without_password(url)
        self._container, stream = open_camera(url, open_timeout_s=open_timeout_s, read_timeout_s=read_timeout_s)
        # Threads by frame would hold frames back; threads by slice don't.
        stream.thread_type = "SLICE"
        self.fps = float(stream.average_rate or stream.guessed_rate or 0)
        self._decoding = Decoding(self._container, stream, fps=fps)

    def __iter__(self) -> Iterator[Frame]:
        yield from self._decoding.frames()
        raise SourceError(f"camera {self.description} ended its stream")

    def interrupt(self) -> None:
        """Does nothing: reading gives up after the read timeout."""

    def close(self) -> None:
        """Hangs up."""
        self._container.close()


def open_camera(
    url: str, *, open_timeout_s: float = _OPEN_TIMEOUT_S, read_timeout_s: float = _READ_TIMEOUT_S
) -> tuple[InputContainer, VideoStream]:
    """A camera and the video that it sends.

    Raises:
        SourceError: the camera does not answer, refuses, or sends no video.
    """
    import av

    description = without_password(url)
    try:
        container = av.open(url, options=_options(url, read_timeout_s), timeout=(open_timeout_s, read_timeout_s))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise SourceError(
            f"camera {description} cannot be opened: {_reason(error)}",
            "check address, path, user and password (in which / is written as %2F, # as %23, ? as %3F and @ as %40), "
            "and that the camera is on",
        ) from error
    try:
        return container, video_stream(container, description)
    except SourceError:
        container.close()
        raise


def _options(url: str, read_timeout_s: float) -> dict[str, str]:
    microseconds = str(round(read_timeout_s * 1e6))
    # What arrives while the stream is analysed is kept: those frames come in a burst, and only the newest is sent on.
    if url.lower().startswith("rtsp"):
        return {"rtsp_transport": "tcp", "timeout": microseconds, "flags": "low_delay"}
    return {"rw_timeout": microseconds, "flags": "low_delay"}


def _reason(error: Exception) -> str:
    # PyAV's own text repeats the URL with its password.
    return getattr(error, "strerror", None) or type(error).__name__


def without_password(url: str) -> str:
    """The URL as it may be shown: the password and any query are left out.

    The password ends at the last "@", whatever is in it: people write "/", "#", "?" and "[" as they are.
    """
    scheme, _, rest = url.partition("://")
    before, _, after = rest.rpartition("@")
    user, password_follows, _ = before.partition(":")
    if password_follows:
        rest = f"{user}@{after}" if user else after
    return printable(f"{scheme}://{re.split('[?#]', rest, maxsplit=1)[0]}")
