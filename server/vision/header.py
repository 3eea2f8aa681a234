"""What the header of an image file says, read without decoding a pixel.

Native decoders allocate what a header claims (a 631-byte JPEG can claim 30000x30000 pixels), so the claim is read
and judged here first. Formats: JPEG (ITU-T T.81, annex B) and PNG (W3C PNG, section 11.2.1).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from server.domain import Codec
from server.errors import ImageError

_JPEG_MAGIC = b"\xff\xd8\xff"
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What an image file claims to be.

    Attributes:
        codec: JPEG or PNG.
        width: pixels per row, before EXIF orientation.
        height: rows, before EXIF orientation.
    """

    codec: Codec
    width: int
    height: int


def read_header(data: bytes) -> ImageHeader:
    """The format and size that the first bytes of a file claim.

    Raises:
        ImageError: neither JPEG nor PNG, or a header that is cut off or contradicts itself.
    """
    if data.startswith(_JPEG_MAGIC):
        width, height = _jpeg_size(data)
        codec = Codec.JPEG
    elif data.startswith(_PNG_MAGIC):
        width, height = _png_size(data)
        codec = Codec.PNG
    else:
        raise ImageError(
            "IMAGE_FORMAT_UNSUPPORTED",
            f"the image starts with {data[:8].hex(' ')}, which is neither JPEG nor PNG; send one of these",
        )
    if width == 0 or height == 0:
        raise _damaged(f"it claims {width}x{height} pixels")
    return ImageHeader(codec, width, height)


def _damaged(what: str) -> ImageError:
    return ImageError("IMAGE_HEADER_DAMAGED", f"the image's header is damaged: {what}; send the original file")


def _png_size(data: bytes) -> tuple[int, int]:
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise _damaged("the PNG has no whole IHDR chunk")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, int]:
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise _damaged(f"no JPEG marker at byte {position}")
        marker = data[position + 1]
        if marker == 0xFF:  # fill bytes may precede a marker
            position += 1
        elif marker in _WITHOUT_LENGTH:
            position += 2
        elif marker in (_START_OF_SCAN, _END_OF_IMAGE):
            raise _damaged("the JPEG's picture starts before its size is given")
        else:
            (length,) = struct.unpack(">H", data[position + 2 : position + 4])
            if marker in _START_OF_FRAME:
                return _frame_size(data[position + 4 : position + 2 + length])
            position += 2 + length
    raise _damaged("the JPEG ends before its size is given")


def _frame_size(segment: bytes) -> tuple[int, int]:
    if len(segment) < 6:
        raise _damaged("the JPEG's frame header is cut off")
    height, width = struct.unpack(">HH", segment[1:5])
    return width, height
