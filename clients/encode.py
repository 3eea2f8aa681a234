"""Pictures to JPEG, as cameras send them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2

from clients.errors import ClientError, UsageError
from clients.frames import Image


@dataclass(frozen=True, slots=True)
class JpegEncoding:
    """How frames are compressed.

    Attributes:
        quality: 1 to 100. Below 70 recognition suffers (FaceNet paper, table 4).
        max_width: wider frames are made narrower first, pixels; 0 keeps the width.

    Raises:
        UsageError: when a value is out of range.
    """

    quality: int = 85
    max_width: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise UsageError(f"a JPEG quality of {self.quality} does not exist", "use 1 to 100; 85 is a good value")
        if self.max_width != 0 and self.max_width < 16:
            raise UsageError(
                f"a width of {self.max_width} pixels is too small", "use 16 or more, or 0 to keep the width"
            )


def encode_jpeg(image: Image, encoding: JpegEncoding) -> bytes:
    """The picture, made narrower when it is too wide, as JPEG.

    Raises:
        ClientError: it cannot be encoded: it is empty, or more than 65500 pixels wide or high.
    """
    height, width = image.shape[:2]
    try:
        if 0 < encoding.max_width < width:
            size = (encoding.max_width, max(1, round(height * encoding.max_width / width)))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        good, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, encoding.quality])
    except cv2.error as error:
        raise ClientError(f"a picture of {width}x{height} pixels cannot be encoded as JPEG") from error
    if not good:
        raise ClientError(f"a picture of {width}x{height} pixels cannot be encoded as JPEG")
    return data.tobytes()
