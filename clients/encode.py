"""Pictures to JPEG, as cameras send them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2

from clients.advice import Advice
from clients.errors import ClientError, UsageError
from clients.frames import Image

DEFAULT_QUALITY = 85

_LEAST_SIDE = 16


@dataclass(frozen=True, slots=True)
class JpegEncoding:
    """How frames are compressed.

    Attributes:
        quality: 1 to 100; None takes what the server advises, and 85 when it advises nothing. Below 70 recognition
            suffers (FaceNet paper, table 4).
        max_width: wider frames are made narrower first, pixels; 0 keeps the width.
        max_side: frames whose longer side is longer are made smaller first, pixels; 0 keeps the size.

    Raises:
        UsageError: when a value is out of range.
    """

    quality: int | None = None
    max_width: int = 0
    max_side: int = 0

    def __post_init__(self) -> None:
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise UsageError(f"a JPEG quality of {self.quality} does not exist", "use 1 to 100; 85 is a good value")
        for side in (self.max_width, self.max_side):
            if side != 0 and side < _LEAST_SIDE:
                raise UsageError(
                    f"a width of {side} pixels is too small", f"use {_LEAST_SIDE} or more, or 0 to keep the width"
                )

    def following(self, advice: Advice) -> JpegEncoding:
        """This encoding with what the server advises where it leaves that open: the smaller size of the two counts."""
        sides = [side for side in (self.max_side, advice.longest_side) if side]
        return replace(
            self,
            quality=self.quality if self.quality is not None else advice.jpeg_quality,
            max_side=max(_LEAST_SIDE, min(sides)) if sides else 0,
        )

    def scale(self, width: int, height: int) -> float:
        """By how much a picture shrinks: more than 0, at most 1."""
        by_width = self.max_width / width if self.max_width else 1.0
        by_side = self.max_side / max(width, height) if self.max_side else 1.0
        return min(1.0, by_width, by_side)


def encode_jpeg(image: Image, encoding: JpegEncoding) -> bytes:
    """The picture, made smaller when it is too large, as JPEG.

    Raises:
        ClientError: it cannot be encoded: it is empty, or more than 65500 pixels wide or high.
    """
    height, width = image.shape[:2]
    try:
        scale = encoding.scale(width, height) if width and height else 1.0
        if scale < 1:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        quality = encoding.quality if encoding.quality is not None else DEFAULT_QUALITY
        good, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error as error:
        raise ClientError(f"a picture of {width}x{height} pixels cannot be encoded as JPEG") from error
    if not good:
        raise ClientError(f"a picture of {width}x{height} pixels cannot be encoded as JPEG")
    return data.tobytes()
