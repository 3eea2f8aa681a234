"""Headers are read without decoding, and every input is accepted or refused with ImageError."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain import Codec
from server.errors import ImageError
from server.vision.header import ImageHeader, read_header


def encoded(suffix, width=37, height=21, flags=()):
    image = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    return cv2.imencode(suffix, image, list(flags))[1].tobytes()


@pytest.mark.parametrize("progressive", [0, 1])
def test_a_jpeg_s_header_gives_its_size(progressive):
    data = encoded(".jpg", flags=[cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])
    assert read_header(data) == ImageHeader(Codec.JPEG, 37, 21)


def test_a_png_s_header_gives_its_size():
    assert read_header(encoded(".png")) == ImageHeader(Codec.PNG, 37, 21)


@pytest.mark.parametrize("magic", [b"GIF89a", b"RIFF\0\0\0\0WEBP", b"II*\0", b"%PDF-1.4", b"BM", b"\0" * 12, b"P6 1 1"])
def test_any_other_format_is_refused_by_its_first_bytes(magic):
    with pytest.raises(ImageError) as refused:
        read_header(magic + bytes(100))
    assert refused.value.reason == "IMAGE_FORMAT_UNSUPPORTED"


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_header_cut_anywhere_is_refused_or_read_right(suffix):
    data = encoded(suffix)
    for end in range(3, 700):
        try:
            header = read_header(data[:end])
        except ImageError:
            continue
        assert (header.width, header.height) == (37, 21)


@given(st.binary(max_size=200), st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b""]))
def test_random_bytes_raise_nothing_but_image_errors(tail, magic):
    try:
        header = read_header(magic + tail)
    except ImageError:
        return
    assert header.width > 0
    assert header.height > 0
