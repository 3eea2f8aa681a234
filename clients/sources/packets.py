"""Video as the camera encoded it: packets of H.264 and HEVC, not decoded."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.annexb import is_key_frame
from clients.errors import SourceError
from clients.frames import PacketCodec, PacketFrame, Stamp
from clients.sources.network import open_camera, without_password
from clients.sources.video import open_video
from clients.text import printable

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

_log = logging.getLogger(__name__)

_MOST_HELD_BACK = 16
"""Pictures that a decoder holds back at most, by both standards."""


class _Packets:
    """The packets of an open container in annex B form, from the first key frame on.

    Raises:
        SourceError: the video is neither H.264 nor HEVC, or cannot be read.
    """

    def __init__(
        self, container: InputContainer, stream: VideoStream, description: str, clock: Callable[[], int]
    ) -> None:
        import av

        name = stream.codec_context.name
        if name not in set(PacketCodec):
            raise SourceError(
                f"{description} is encoded as {printable(name)}; only H.264 and HEVC can be forwarded",
                "leave --forward out",
            )
        self.codec = PacketCodec(name)
        self.damaged = 0
        self._container = container
        self._stream = stream
        self._clock = clock
        self._rate = float(stream.average_rate or stream.guessed_rate or 25)
        self._filter = _annex_b(self.codec, stream)
        self._read = self._filtered()
        try:
            self._first = next(self._read, None)
        except (av.error.FFmpegError, OSError) as error:
            raise SourceError(f"{description} cannot be read: {error.strerror}") from error
        if self._first is None:
            raise SourceError(f"{description} holds no key frame", "the file is damaged")
        self.held_back = _held_back(self._first, self._rate, stream)

    def frames(self) -> Iterator[PacketFrame]:
        """The packets, in the order of decoding.

        Raises:
            SourceError: the container ends with an error.
        """
        import av

        assert self._first is not None
        sequence, start, dts_start = 0, self._seconds(self._first.pts, 0), self._seconds(self._first.dts, 0)
        try:
            for packet in chain([self._first], self._read):
                position_s = self._seconds(packet.pts, sequence) - start
                due_s = self._seconds(packet.dts, sequence) - dts_start
                sequence += 1
                # With B-frames a packet comes earlier or later than its picture's turn. Its time keeps the order and
                # the distances of showing, by which faces are followed.
                captured_at_ns = self._clock() + round((position_s - due_s) * 1e9)
                stamp = Stamp(sequence, captured_at_ns, max(0, round(position_s * 1e9)))
                data = bytes(packet)
                key = is_key_frame(self.codec, data)
                yield PacketFrame(stamp, self.codec, data, key, max(0, round(due_s * 1e9)))
        except (av.error.FFmpegError, OSError) as error:
            raise SourceError(f"the video broke off after {sequence} frames: {error.strerror}") from error

    def _seconds(self, ticks: int | None, sequence: int) -> float:
        """A time of the video; made up where it gives none, as some cameras do."""
        if ticks is None or self._stream.time_base is None:
            return sequence / self._rate
        return float(ticks * self._stream.time_base)

    def _filtered(self) -> Iterator[av.Packet[Any]]:
        """Whole packets. What follows a damaged one builds on it, and is left out up to the next key frame."""
        broken = True
        for packet in self._container.demux(self._stream):
            if packet.is_corrupt:
                self.damaged += 1
                broken = True
                continue
            # At the end there is an empty packet, which makes the filters give what they have kept.
            for filtered in self._filter(packet if packet.size else None):
                broken = broken and not is_key_frame(self.codec, bytes(filtered))
                if not broken:
                    yield filtered


def _annex_b(codec: PacketCodec, stream: VideoStream) -> Callable[[av.Packet[Any] | None], list[av.Packet[Any]]]:
    """What brings packets into annex B form with the parameter sets in front of key frames."""
    from av.bitstream import BitStreamFilterContext

    extradata = stream.codec_context.extradata or b""
    # Files keep lengths instead of start codes and the parameter sets apart; cameras may send these only beforehand.
    name = f"{codec}_mp4toannexb" if extradata.startswith(b"\x01") else "dump_extra"
    return BitStreamFilterContext(name, stream).filter


def _held_back(first: av.Packet[Any], rate: float, stream: VideoStream) -> int:
    """How many pictures a decoder holds back; rather too many than too few, for which a stream would wait for ever."""
    if not stream.codec_context.has_b_frames:
        return 0
    # What FFmpeg found in the first packets; older versions of PyAV don't say.
    found: int = getattr(stream.codec_context, "reorder_depth", 0)
    if first.pts is None or first.dts is None or first.time_base is None or first.pts <= first.dts:
        return found or _MOST_HELD_BACK
    # As long as the first is decoded before it is shown. Where the rate varies, this says little.
    estimated = round(float((first.pts - first.dts) * first.time_base) * rate)
    return min(_MOST_HELD_BACK, max(1, found, estimated))


class PacketFile:
    """The packets of a video file.

    Args:
        path: the file.
        clock: wall clock, nanoseconds since the epoch.

    Raises:
        SourceNotFoundError: there is no such file.
        SourceError: it is no video that can be read, or one that cannot be forwarded.
    """

    live = False

    def __init__(self, path: Path, *, clock: Callable[[], int] = time.time_ns) -> None:
        self.description = printable(path)
        self._container, stream = open_video(path)
        self._packets = _opened(self._container, stream, self.description, clock)
        self.fps = float(stream.average_rate or stream.guessed_rate or 0)
        self.expected = stream.frames
        self.held_back = self._packets.held_back

    def __iter__(self) -> Iterator[PacketFrame]:
        yield from self._packets.frames()
        if self._packets.damaged:
            _log.warning("%s is damaged: %d packets were left out", self.description, self._packets.damaged)

    def interrupt(self) -> None:
        """Does nothing: reading a file does not wait."""

    def close(self) -> None:
        """Closes the file."""
        self._container.close()


class PacketCamera:
    """The packets of a camera at a URL, by TCP.

    Args:
        url: as for `NetworkCamera`.

    Raises:
        SourceError: the camera does not answer, refuses, or sends no video that can be forwarded.
    """

    live = True
    expected = 0

    def __init__(self, url: str) -> None:
        self.description = without_password(url)
        self._container, stream = open_camera(url)
        self._packets = _opened(self._container, stream, self.description, time.time_ns)
        self.fps = float(stream.average_rate or stream.guessed_rate or 0)
        self.held_back = self._packets.held_back

    def __iter__(self) -> Iterator[PacketFrame]:
        yield from self._packets.frames()
        raise SourceError(f"camera {self.description} ended its stream")

    def interrupt(self) -> None:
        """Does nothing: reading gives up after the read timeout."""

    def close(self) -> None:
        """Hangs up."""
        self._container.close()


def _opened(container: InputContainer, stream: VideoStream, description: str, clock: Callable[[], int]) -> _Packets:
    try:
        return _Packets(container, stream, description, clock)
    except SourceError:
        container.close()
        raise
