"""Encoded bytes to pixels, within limits that are checked before a native decoder sees the bytes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from server.domain import Codec, EncodedImage, Image
from server.errors import ImageError
from server.vision.header import ImageHeader, read_header

_MAX_JPEG_SCANS = 100
"""Each scan of a progressive JPEG walks the whole picture again; encoders write about ten."""

_MAX_PIXELS_PER_BYTE = 1000
"""A Huffman-coded JPEG spends at least one bit on each 8x8 block of a plane: under 500 pixels a byte."""

_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What an image may cost.

    Attributes:
        max_bytes: encoded size in bytes.
        max_pixels: width times height.
    """

    max_bytes: int = 16 * 2**20
    max_pixels: int = 2**25


def decode(image: EncodedImage, limits: ImageLimits) -> Image:
    """The pixels of an image, (H, W, 3) uint8 BGR, upright after its EXIF orientation.

    Raises:
        ImageError: empty, over a limit, of another format than declared or supported, or damaged.
    """
    _check_bytes(image, limits)
    if image.codec is Codec.BGR24:
        return _raw(image, limits)
    return _pixels(image, _checked_header(image, limits))


@dataclass(frozen=True, slots=True)
class Picture:
    """An image, decoded as far as finding faces needs it.

    Attributes:
        pixels: (h, w, 3) uint8 BGR, upright.
        reduction: 1, 2, 4 or 8: pixels of the whole image per pixel of `pixels`, along each axis.
        width: of the whole image, pixels.
        height: of the whole image, pixels.
        encoded: the bytes, for decoding the whole.
    """

    pixels: Image
    reduction: int
    width: int
    height: int
    encoded: EncodedImage

    def whole(self) -> Image:
        """The whole image, (H, W, 3) uint8 BGR; decodes it when `pixels` are reduced.

        Raises:
            ImageError: the bytes are damaged.
        """
        if self.reduction == 1:
            return self.pixels
        return _pixels(self.encoded, read_header(self.encoded.data))


def decode_for(image: EncodedImage, limits: ImageLimits, *, longest_side: int) -> Picture:
    """An image with at least so many pixels on its longer side, if it has them, and no more work than that needs.

    A JPEG's pixels come in blocks of 8x8 that can be decoded at a half, a quarter or an eighth of their size.

    Raises:
        ImageError: as `decode`.
    """
    _check_bytes(image, limits)
    if image.codec is Codec.BGR24:
        pixels = _raw(image, limits)
        return Picture(pixels, 1, image.width, image.height, image)
    header = _checked_header(image, limits)
    reduction = _reduction(header, longest_side)
    pixels = _pixels(image, header, reduction)
    height, width = pixels.shape[:2]
    if reduction == 1:
        return Picture(pixels, 1, width, height, image)
    turned = (height, width) != _reduced(header, reduction)
    sides = (header.height, header.width) if turned else (header.width, header.height)
    return Picture(pixels, reduction, *sides, image)


def _reduction(header: ImageHeader, longest_side: int) -> int:
    if header.codec is not Codec.JPEG:
        return 1
    longest = max(header.width, header.height)
    wanted = (factor for factor in (8, 4, 2) if longest >= factor * longest_side)
    return next((factor for factor in wanted if _tells_turned(header, factor)), 1)


def _tells_turned(header: ImageHeader, reduction: int) -> bool:
    """Whether the size of the reduced pixels says if EXIF turned them: 1000x999 and 999x1000 both become 500x500."""
    height, width = _reduced(header, reduction)
    return height != width or header.height == header.width


def _reduced(header: ImageHeader, reduction: int) -> tuple[int, int]:
    """Height and width of the reduced pixels before EXIF orientation; blocks that are cut off count."""
    return -(-header.height // reduction), -(-header.width // reduction)


def _check_bytes(image: EncodedImage, limits: ImageLimits) -> None:
    if not image.data:
        raise ImageError("IMAGE_EMPTY", "the image has no bytes; send a JPEG, a PNG or raw BGR pixels")
    if len(image.data) > limits.max_bytes and not image.decoded_here:
        raise ImageError(
            "IMAGE_BYTES_EXCEEDED",
            f"the image has {len(image.data)} bytes, the limit is {limits.max_bytes}; send it smaller",
        )


def _check_pixels(width: int, height: int, limits: ImageLimits) -> None:
    if width * height > limits.max_pixels:
        raise ImageError(
            "IMAGE_PIXELS_EXCEEDED",
            f"the image claims {width}x{height} pixels, the limit is {limits.max_pixels} in all; send it smaller",
        )


def _raw(image: EncodedImage, limits: ImageLimits) -> Image:
    if image.width <= 0 or image.height <= 0:
        raise ImageError(
            "RAW_SIZE_MISSING",
            f"raw pixels need a width and a height above 0, not {image.width}x{image.height}",
        )
    _check_pixels(image.width, image.height, limits)
    wanted = image.width * image.height * 3
    if len(image.data) != wanted:
        raise ImageError(
            "RAW_SIZE_MISMATCH",
            f"{image.width}x{image.height} raw BGR pixels are {wanted} bytes, not {len(image.data)}",
        )
    return np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3)


def _checked_header(image: EncodedImage, limits: ImageLimits) -> ImageHeader:
    header = read_header(image.data)
    if image.codec not in (Codec.UNSPECIFIED, header.codec):
        raise ImageError(
            "IMAGE_FORMAT_MISMATCH",
            f"the image is declared as {image.codec.value} but is {header.codec.value}; declare what it is",
        )
    _check_pixels(header.width, header.height, limits)
    if header.codec is Codec.JPEG:
        _check_jpeg_cost(image.data, header.width * header.height)
    return header


def _pixels(image: EncodedImage, header: ImageHeader, reduction: int = 1) -> Image:
    try:
        pixels = cv2.imdecode(np.frombuffer(image.data, np.uint8), _FLAGS[reduction])
    except cv2.error as error:
        raise _undecodable(header.codec) from error
    if pixels is None:
        raise _undecodable(header.codec)
    return np.asarray(pixels, np.uint8)


def _check_jpeg_cost(data: bytes, pixels: int) -> None:
    if pixels > _MAX_PIXELS_PER_BYTE * len(data):
        raise ImageError(
            "IMAGE_DAMAGED",
            f"{len(data)} bytes can't hold the {pixels} pixels that the JPEG claims; send the original file",
        )
    # data.count() would take four times as long, and keep the interpreter to itself meanwhile
    values = np.frombuffer(data, np.uint8)
    scans = int(np.count_nonzero((values[:-1] == 0xFF) & (values[1:] == 0xDA)))
    if scans > _MAX_JPEG_SCANS:
        raise ImageError(
            "IMAGE_TOO_COMPLEX",
            f"the JPEG has {scans} scans, the limit is {_MAX_JPEG_SCANS}; save it as baseline JPEG",
        )


def _undecodable(codec: Codec) -> ImageError:
    return ImageError(
        "IMAGE_DAMAGED",
        f"the {codec.value} is cut off or damaged and can't be decoded; send the original file",
    )
