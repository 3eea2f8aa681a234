"""Images: as they come, and decoded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]
"""(H, W, 3) uint8, BGR."""


class Codec(Enum):
    """How the bytes of an image are encoded."""

    UNSPECIFIED = "unspecified"
    JPEG = "jpeg"
    PNG = "png"
    BGR24 = "bgr24"
    H264 = "h264"
    HEVC = "hevc"

    @property
    def is_video(self) -> bool:
        """Whether it codes a picture as a change of the pictures before it: such an image means nothing alone."""
        return self in (Codec.H264, Codec.HEVC)


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An image as it came: nothing in it has been checked yet.

    Attributes:
        codec: the declared encoding; UNSPECIFIED lets the first bytes decide between JPEG and PNG. With a video codec
            it is a packet of a stream.
        data: the bytes.
        width: pixels per row; meaningful for BGR24 only.
        height: rows; meaningful for BGR24 only.
        decoded_here: the pixels of a packet that this server decoded, within its limits of video. How many bytes a
            client may send does not matter for them.
    """

    codec: Codec
    data: bytes
    width: int = 0
    height: int = 0
    decoded_here: bool = False
