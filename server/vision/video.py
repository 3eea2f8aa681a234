"""Packets of video to pictures, with FFmpeg through PyAV; to be run where it may crash (`server.pipeline.decoder`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from server.domain import Codec, Image
from server.errors import ImageError

if TYPE_CHECKING:
    import av

_ROUNDING = 64 * 2**14
"""FFmpeg judges a picture with its width rounded up to as much as 64 pixels; it has 16384 rows at most."""

_DECODERS = {Codec.H264: "h264", Codec.HEVC: "hevc"}


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """A picture that came out of a decoder.

    Attributes:
        number: of the packet that codes it.
        pixels: (H, W, 3) uint8 BGR.
    """

    number: int
    pixels: Image


class VideoDecoder:
    """Decodes one stream of packets, in one thread and without delay save for what B-frames need.

    Args:
        codec: H264 or HEVC.
        max_pixels: width times height; FFmpeg refuses a picture that is clearly larger before it allocates it.
    """

    def __init__(self, codec: Codec, *, max_pixels: int) -> None:
        self._codec = codec
        self._max_pixels = max_pixels
        self._context = self._opened()

    def _opened(self) -> av.VideoCodecContext:
        import av

        context = cast("av.VideoCodecContext", av.CodecContext.create(_DECODERS[self._codec], "r"))
        # One thread: cameras are many, and threads by frame would hold pictures back.
        context.thread_count = 1
        # Rather no picture than one with its holes painted over.
        most = str(self._max_pixels + _ROUNDING)
        context.options = {"max_pixels": most, "err_detect": "crccheck+bitstream+buffer+explode"}
        return context

    def decode(self, data: bytes, number: int) -> Iterator[DecodedPicture]:
        """The pictures that come out when a packet goes in, in the order in which they are shown.

        Args:
            data: the packet, annex B.
            number: of the packet, greater than that of the one before.

        Raises:
            ImageError: the packet is damaged or its picture is too large. What follows builds on it and would be wrong.
            MemoryError: there is no memory for it.
        """
        import av

        packet = av.Packet(data)
        packet.pts = packet.dts = number
        yield from self._decode(packet)

    def flush(self) -> Iterator[DecodedPicture]:
        """The pictures that are held back. The next packet must be a key frame.

        Raises:
            ImageError: one of them is damaged.
        """
        yield from self._decode(None)
        self._context.flush_buffers()

    def reset(self) -> None:
        """Forgets all pictures and keeps the parameter sets. The next packet must be a key frame."""
        self._context.flush_buffers()

    def _decode(self, packet: av.Packet[Any] | None) -> Iterator[DecodedPicture]:
        import av

        try:
            frames = self._context.decode(packet)
        except av.error.FFmpegError as error:
            raise self._too_large() or _damaged() from error
        except MemoryError as error:  # also FFmpeg's word for a picture that it refuses
            raise self._too_large() or error from error
        if frames and (refusal := self._too_large()):
            raise refusal
        for frame in frames:
            if frame.is_corrupt:
                raise _damaged()
            yield DecodedPicture(frame.pts or 0, np.ascontiguousarray(frame.to_ndarray(format="bgr24"), np.uint8))

    def _too_large(self) -> ImageError | None:
        width, height = self._context.width, self._context.height
        if width * height <= self._max_pixels:
            return None
        self._context = self._opened()  # one that has met such a picture takes no other any more
        return ImageError(
            "IMAGE_PIXELS_EXCEEDED",
            f"the packet claims {width}x{height} pixels, the limit is {self._max_pixels} in all for video; set the "
            "camera to a smaller picture",
        )


def _damaged() -> ImageError:
    return ImageError(
        "PACKET_DAMAGED",
        "the packet is cut off or damaged, or pictures that it builds on are missing; send a key frame to go on",
    )
