"""Compressed video to frames, with PyAV."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from clients.errors import SourceError
from clients.frames import Frame, Image, Stamp
from clients.sources.source import Thinning

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

_log = logging.getLogger(__name__)


def video_stream(container: InputContainer, description: str) -> VideoStream:
    """The first video stream of an open container.

    Raises:
        SourceError: there is none.
    """
    if not container.streams.video:
        raise SourceError(f"{description} holds no video")
    return container.streams.video[0]


class Decoding:
    """The frames of an open container, damaged ones left out."""

    def __init__(
        self, container: InputContainer, stream: VideoStream, *, fps: float, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._container = container
        self._stream = stream
        self._thinning = Thinning(fps)
        self._clock = clock
        self._first_s: float | None = None
        self._position_ns = 0
        self._rate = float(stream.average_rate or stream.guessed_rate or 25)
        self.sequence = 0
        self.damaged = 0

    def frames(self) -> Iterator[Frame]:
        """The frames, in the order in which they are shown.

        Raises:
            SourceError: the container ends with an error.
        """
        import av

        try:
            for picture in self._pictures():
                position_ns = self._position_of(picture)
                self.sequence += 1
                if self._thinning.keep(position_ns):
                    yield Frame(Stamp(self.sequence, self._clock(), position_ns), upright(picture))
        except (av.error.FFmpegError, OSError) as error:
            raise SourceError(f"the video broke off after {self.sequence} frames: {error.strerror}") from error

    def _pictures(self) -> Iterator[av.VideoFrame]:
        import av

        for packet in self._container.demux(self._stream):
            try:
                pictures = packet.decode()
            except av.error.InvalidDataError:
                self.damaged += 1
                continue
            for picture in pictures:
                if isinstance(picture, av.VideoFrame):
                    if picture.is_corrupt:
                        self.damaged += 1
                    else:
                        yield picture

    def _position_of(self, picture: av.VideoFrame) -> int:
        """Time since the first frame, nanoseconds; never before that of the frame before."""
        if picture.pts is None or picture.time_base is None:
            return self._forward(round(self.sequence / self._rate * 1e9))
        at_s = float(picture.pts * picture.time_base)
        if self._first_s is None:
            self._first_s = at_s
        return self._forward(round((at_s - self._first_s) * 1e9))

    def _forward(self, position_ns: int) -> int:
        self._position_ns = max(self._position_ns, position_ns)
        return self._position_ns


def upright(picture: av.VideoFrame) -> Image:
    """The picture as (H, W, 3) uint8 BGR, turned as its metadata says (telephones film sideways)."""
    image = picture.to_ndarray(format="bgr24")
    turns = round(picture.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image  # type: ignore[return-value]
