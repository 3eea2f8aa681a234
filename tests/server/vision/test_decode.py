"""Images are decoded within limits; everything else is an ImageError with its reason."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest

from server.domain import Codec, EncodedImage
from server.errors import ImageError
from server.vision.decode import ImageLimits, decode

LIMITS = ImageLimits(max_bytes=2**20, max_pixels=2**20)


def picture(width=64, height=48):
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 90)], axis=-1).astype(np.uint8)


def encode(suffix, image):
    return cv2.imencode(suffix, image)[1].tobytes()


def reason_of(data, codec=Codec.UNSPECIFIED, limits=LIMITS, **size):
    with pytest.raises(ImageError) as refused:
        decode(EncodedImage(codec, data, **size), limits)
    return refused.value.reason


def with_orientation(jpeg, orientation):
    """The JPEG with an EXIF segment that holds nothing but an orientation."""
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def test_a_png_comes_back_as_it_was():
    np.testing.assert_array_equal(decode(EncodedImage(Codec.PNG, encode(".png", picture())), LIMITS), picture())


def test_a_jpeg_comes_back_nearly_as_it_was():
    decoded = decode(EncodedImage(Codec.UNSPECIFIED, encode(".jpg", picture())), LIMITS)
    assert np.abs(decoded.astype(int) - picture()).mean() < 3


def test_raw_pixels_come_back_as_they_were():
    image = EncodedImage(Codec.BGR24, picture().tobytes(), 64, 48)
    np.testing.assert_array_equal(decode(image, LIMITS), picture())


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda image: image),
        (2, lambda image: image[:, ::-1]),
        (3, lambda image: image[::-1, ::-1]),
        (4, lambda image: image[::-1]),
        (5, lambda image: image.transpose(1, 0, 2)),
        (6, lambda image: np.rot90(image, -1)),
        (7, lambda image: np.rot90(image, 2).transpose(1, 0, 2)),
        (8, lambda image: np.rot90(image)),
    ],
)
def test_exif_orientation_is_applied(orientation, turn):
    jpeg = encode(".jpg", picture())
    upright = decode(EncodedImage(Codec.JPEG, jpeg), LIMITS)
    turned = decode(EncodedImage(Codec.JPEG, with_orientation(jpeg, orientation)), LIMITS)
    np.testing.assert_array_equal(turned, turn(upright))


def test_grey_and_transparent_and_deep_pngs_become_bgr_of_8_bits():
    grey = picture()[..., 0]
    assert decode(EncodedImage(Codec.PNG, encode(".png", grey)), LIMITS).shape == (48, 64, 3)
    transparent = np.dstack([picture(), grey])
    assert decode(EncodedImage(Codec.PNG, encode(".png", transparent)), LIMITS).shape == (48, 64, 3)
    deep = decode(EncodedImage(Codec.PNG, encode(".png", picture().astype(np.uint16) * 257)), LIMITS)
    np.testing.assert_array_equal(deep, picture())


def test_no_bytes_are_refused():
    assert reason_of(b"") == "IMAGE_EMPTY"


def test_too_many_bytes_are_refused():
    assert reason_of(bytes(LIMITS.max_bytes + 1)) == "IMAGE_BYTES_EXCEEDED"


def test_a_gif_called_jpeg_is_refused():
    assert reason_of(b"GIF89a" + bytes(50), Codec.JPEG) == "IMAGE_FORMAT_UNSUPPORTED"


def test_a_png_called_jpeg_is_refused():
    assert reason_of(encode(".png", picture()), Codec.JPEG) == "IMAGE_FORMAT_MISMATCH"


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_file_cut_off_anywhere_is_refused_or_decoded_whole(suffix):
    data = encode(suffix, picture())
    for part in range(1, 16):
        with contextlib.suppress(ImageError):
            decoded = decode(EncodedImage(Codec.UNSPECIFIED, data[: len(data) * part // 16]), LIMITS)
            assert decoded.shape == (48, 64, 3)


def test_flipped_bits_give_an_image_or_an_image_error_and_nothing_else():
    rng = np.random.default_rng(1)
    for suffix in (".jpg", ".png"):
        data = np.frombuffer(encode(suffix, picture()), np.uint8)
        for _ in range(200):
            damaged = data.copy()
            damaged[rng.integers(0, len(data), 8)] ^= np.uint8(1 << rng.integers(0, 8))
            with contextlib.suppress(ImageError):
                assert decode(EncodedImage(Codec.UNSPECIFIED, damaged.tobytes()), LIMITS).ndim == 3


def huge_jpeg(width, height):
    """A small JPEG whose frame header claims another size."""
    jpeg = bytearray(encode(".jpg", picture()))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(jpeg)


def test_a_small_jpeg_that_claims_30000_by_30000_pixels_costs_nothing():
    tracemalloc.start()
    assert reason_of(huge_jpeg(30000, 30000)) == "IMAGE_PIXELS_EXCEEDED"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def test_a_jpeg_with_too_few_bytes_for_its_pixels_is_refused_before_decoding():
    assert reason_of(huge_jpeg(5000, 5000), limits=ImageLimits()) == "IMAGE_DAMAGED"


def test_a_png_bomb_is_refused_by_its_header():
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10**6)))
    assert reason_of(bomb) == "IMAGE_PIXELS_EXCEEDED"


def test_a_jpeg_with_a_thousand_scans_is_refused():
    jpeg = encode(".jpg", picture())
    assert reason_of(jpeg + b"\xff\xda\0\x02" * 1000) == "IMAGE_TOO_COMPLEX"


@pytest.mark.parametrize(("width", "height"), [(0, 48), (64, 0), (-64, -48)])
def test_raw_pixels_without_a_size_are_refused(width, height):
    assert reason_of(picture().tobytes(), Codec.BGR24, width=width, height=height) == "RAW_SIZE_MISSING"


def test_raw_pixels_of_another_size_are_refused():
    assert reason_of(picture().tobytes(), Codec.BGR24, width=64, height=47) == "RAW_SIZE_MISMATCH"


def test_raw_pixels_over_the_limit_are_refused():
    assert reason_of(b"\0", Codec.BGR24, width=10**5, height=10**5) == "IMAGE_PIXELS_EXCEEDED"
