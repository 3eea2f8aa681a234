from __future__ import annotations

import cv2
import numpy as np
import pytest

from clients.encode import JpegEncoding, encode_jpeg
from clients.errors import ClientError, UsageError

PICTURE = cv2.GaussianBlur(np.random.default_rng(3).integers(0, 255, (90, 160, 3), np.uint8), (9, 9), 0)


def decoded(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def test_a_picture_survives_compression() -> None:
    back = decoded(encode_jpeg(PICTURE, JpegEncoding(quality=95)))
    assert back.shape == PICTURE.shape
    assert np.abs(back.astype(int) - PICTURE).mean() < 4


def test_a_lower_quality_takes_fewer_bytes() -> None:
    sizes = [len(encode_jpeg(PICTURE, JpegEncoding(quality=quality))) for quality in (20, 60, 95)]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize(
    ("max_width", "shape"), [(80, (45, 80, 3)), (160, (90, 160, 3)), (500, (90, 160, 3)), (0, (90, 160, 3))]
)
def test_only_wider_pictures_are_made_narrower(max_width: int, shape: tuple[int, int, int]) -> None:
    assert decoded(encode_jpeg(PICTURE, JpegEncoding(max_width=max_width))).shape == shape


@pytest.mark.parametrize(
    ("encoding", "shape"),
    [
        (JpegEncoding(max_side=80), (45, 80, 3)),
        (JpegEncoding(max_side=160), (90, 160, 3)),
        (JpegEncoding(max_side=80, max_width=40), (22, 40, 3)),
        (JpegEncoding(max_side=40, max_width=80), (22, 40, 3)),
    ],
)
def test_the_longer_side_is_limited_too(encoding: JpegEncoding, shape: tuple[int, int, int]) -> None:
    assert decoded(encode_jpeg(PICTURE, encoding)).shape == shape
    upright = decoded(encode_jpeg(np.ascontiguousarray(PICTURE.transpose(1, 0, 2)), JpegEncoding(max_side=80)))
    assert upright.shape == (80, 45, 3)


def test_without_a_quality_it_is_85() -> None:
    assert encode_jpeg(PICTURE, JpegEncoding()) == encode_jpeg(PICTURE, JpegEncoding(quality=85))


@pytest.mark.parametrize(
    "values", [{"quality": 0}, {"quality": 101}, {"max_width": -1}, {"max_width": 5}, {"max_side": 5}]
)
def test_values_out_of_range_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        JpegEncoding(**values)


@pytest.mark.parametrize("shape", [(0, 0, 3), (2, 65_501, 3)])
def test_a_picture_that_jpeg_cannot_hold_is_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ClientError, match="cannot be encoded"):
        encode_jpeg(np.zeros(shape, np.uint8), JpegEncoding())
