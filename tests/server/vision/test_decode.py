"""Images are decoded within limits; everything else is an ImageError with its reason."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain import Codec, EncodedImage
from server.errors import ImageError
from server.vision.decode import ImageLimits, decode, decode_for

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


# ---- only as far as finding faces needs it


def shrunk(width, height, longest_side, *, orientation=1, suffix=".jpg"):
    data = encode(suffix, picture(width, height))
    encoded = EncodedImage(Codec.UNSPECIFIED, with_orientation(data, orientation) if suffix == ".jpg" else data)
    return decode_for(encoded, LIMITS, longest_side=longest_side), decode(encoded, LIMITS)


@pytest.mark.parametrize(
    ("longest_side", "reduction"), [(641, 1), (640, 1), (321, 1), (320, 2), (160, 4), (80, 8), (9, 8)]
)
def test_a_jpeg_is_reduced_as_far_as_its_longer_side_stays_long_enough(longest_side, reduction):
    reduced, whole = shrunk(640, 480, longest_side)
    assert reduced.reduction == reduction
    assert reduced.pixels.shape == (480 // reduction, 640 // reduction, 3)
    assert (reduced.width, reduced.height) == (640, 480)
    np.testing.assert_array_equal(reduced.whole(), whole)


@given(
    st.integers(1, 200),
    st.integers(1, 200),
    st.integers(1, 120),
    st.integers(1, 8),
)
@settings(max_examples=150)
def test_whatever_its_size_and_orientation_a_reduced_jpeg_knows_the_size_of_the_whole(width, height, longest, turn):
    reduced, whole = shrunk(width, height, longest, orientation=turn)
    assert (reduced.height, reduced.width) == whole.shape[:2]
    assert reduced.pixels.shape[:2] == tuple(-(-side // reduced.reduction) for side in whole.shape[:2])
    assert reduced.reduction == 1 or max(reduced.pixels.shape) >= longest
    np.testing.assert_array_equal(reduced.whole(), whole)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("longest_side", [80, 160, 320])
def test_a_reduced_picture_shows_what_the_whole_shows_in_every_orientation(orientation, longest_side):
    reduced, whole = shrunk(640, 480, longest_side, orientation=orientation)
    height, width = reduced.pixels.shape[:2]
    small = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    assert np.abs(reduced.pixels.astype(int) - small).mean() < 3


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(("width", "height"), [(1000, 999), (999, 1000), (1001, 1000), (641, 480), (1023, 767)])
def test_odd_sizes_lose_no_pixel(width, height, orientation):
    reduced, whole = shrunk(width, height, 250, orientation=orientation)
    assert (reduced.height, reduced.width) == whole.shape[:2]


def test_pngs_and_raw_pixels_are_never_reduced():
    png, whole = shrunk(640, 480, 8, suffix=".png")
    assert (png.reduction, png.width, png.height) == (1, 640, 480)
    np.testing.assert_array_equal(png.pixels, whole)
    raw = decode_for(EncodedImage(Codec.BGR24, picture().tobytes(), 64, 48), LIMITS, longest_side=8)
    assert (raw.reduction, raw.width, raw.height) == (1, 64, 48)
    np.testing.assert_array_equal(raw.pixels, picture())
    np.testing.assert_array_equal(raw.whole(), picture())


def test_what_was_not_reduced_is_not_decoded_twice():
    reduced, _ = shrunk(640, 480, 640)
    assert reduced.whole() is reduced.pixels


@pytest.mark.parametrize(
    ("data", "codec", "reason"),
    [
        (b"", Codec.JPEG, "IMAGE_EMPTY"),
        (bytes(LIMITS.max_bytes + 1), Codec.JPEG, "IMAGE_BYTES_EXCEEDED"),
        (b"GIF89a" + bytes(50), Codec.JPEG, "IMAGE_FORMAT_UNSUPPORTED"),
        (encode(".png", picture()), Codec.JPEG, "IMAGE_FORMAT_MISMATCH"),
        (huge_jpeg(30000, 30000), Codec.JPEG, "IMAGE_PIXELS_EXCEEDED"),
        (picture().tobytes(), Codec.BGR24, "RAW_SIZE_MISSING"),
    ],
)
def test_a_reduced_picture_is_refused_for_the_same_reasons_as_a_whole_one(data, codec, reason):
    with pytest.raises(ImageError) as refused:
        decode_for(EncodedImage(codec, data), LIMITS, longest_side=16)
    assert refused.value.reason == reason == reason_of(data, codec)


def test_a_jpeg_that_is_cut_off_is_reduced_to_an_image_or_refused():
    data = encode(".jpg", picture(640, 480))
    for part in range(1, 16):
        with contextlib.suppress(ImageError):
            cut = EncodedImage(Codec.JPEG, data[: len(data) * part // 16])
            assert decode_for(cut, LIMITS, longest_side=80).pixels.shape == (60, 80, 3)
