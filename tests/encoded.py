"""Packets of video made on the spot, for tests of everything that reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

ENCODERS = {"h264": "libx264", "hevc": "libx265"}
_QUIET = {"h264": "x264-params", "hevc": "x265-params"}


@dataclass(frozen=True)
class Encoded:
    """A packet as an encoder gave it: `shown` is the place of its picture in the order of showing, from 0."""

    data: bytes
    shown: int
    key: bool


def grey_of(number: int) -> int:
    """The grey level of picture number N, from 0, far enough from its neighbours to survive compression."""
    return 30 + 20 * (number % 10)


def level_of(picture: np.ndarray) -> int:
    """The number modulo 10 of the picture that this looks like."""
    return round((float(picture.mean()) - 30) / 20)


def encoded(
    count: int,
    *,
    codec: str = "h264",
    size: tuple[int, int] = (160, 120),
    group: int = 5,
    b_frames: int = 0,
    noise: float = 0,
    params: Mapping[str, str] | None = None,
) -> list[Encoded]:
    """So many packets in annex B form, in the order of decoding, a key frame with parameter sets every `group`.

    Args:
        count: of pictures: grey, picture N of level `grey_of(N)`.
        codec: h264 or hevc.
        size: width and height.
        group: pictures from one key frame to the next.
        b_frames: in a row at most.
        noise: standard deviation, grey levels; makes packets longer.
        params: more for the encoder.
    """
    context = av.CodecContext.create(ENCODERS[codec], "w")
    context.width, context.height = size
    context.pix_fmt, context.time_base, context.thread_count = "yuv420p", Fraction(1, 25), 1
    wanted = {
        "keyint": str(group), "min-keyint": str(group), "scenecut": "0", "bframes": str(b_frames), "b-adapt": "0",
        "repeat-headers": "1", "open-gop": "0", **(params or {}),
    }  # fmt: skip
    if codec == "hevc":
        wanted |= {"log-level": "none", "pools": "1", "frame-threads": "1"}
    context.options = {_QUIET[codec]: ":".join(f"{name}={value}" for name, value in wanted.items())}
    rng = np.random.default_rng(0)
    packets = []
    for number in range(count):
        pixels = np.full((size[1], size[0], 3), grey_of(number), np.float64)
        if noise:
            pixels += rng.normal(0, noise, pixels.shape)
        picture = av.VideoFrame.from_ndarray(pixels.clip(0, 255).astype(np.uint8), format="bgr24")
        picture.pts = number
        packets += context.encode(picture)
    packets += context.encode(None)
    return [Encoded(bytes(packet), packet.pts, packet.is_keyframe) for packet in packets]
