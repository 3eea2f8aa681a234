"""The kernels on a fake GPU, as OpenCV computes them. An oracle for kernels.cu, which shares no line with it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from server.domain import Image
from server.inference.cuts import SAMPLING_VALUES
from server.inference.gpu.device import Argument, Stream

Put: TypeAlias = Callable[[Stream, Callable[[], None]], None]
"""Puts work into a fake stream."""

Floats: TypeAlias = NDArray[np.float32]


class OpenCvKernels:
    """What kernels.cu declares.

    Args:
        put: puts work into a stream.
    """

    def __init__(self, put: Put) -> None:
        self._put = put
        self.launches: list[str] = []

    def launch(
        self,
        name: str,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[Argument],
        stream: Stream,
    ) -> None:
        """As `Kernels.launch`; `name` is letterbox or warp."""
        del block
        numbers = [int(one) for one in arguments if not isinstance(one, bytes)]
        pixels = next(one for one in arguments if isinstance(one, bytes))
        self.launches.append(name)
        if name == "letterbox":
            self._put(stream, lambda: _letterbox(numbers, pixels))
        else:
            self._put(stream, lambda: _warp(numbers, grid[2], pixels))


def _letterbox(numbers: Sequence[int], pixels: bytes) -> None:
    image, width, height, target, *rest = numbers
    input_width, input_height, inner_width, inner_height, grid_width, grid_height = rest
    frame = _bytes(image, (height, width, 3))
    if (grid_width, grid_height) != (width, height):
        frame = _resized(frame, (grid_width, grid_height), cv2.INTER_AREA)
    canvas = np.zeros((input_height, input_width, 3), np.uint8)
    canvas[:inner_height, :inner_width] = _resized(frame, (inner_width, inner_height), cv2.INTER_LINEAR)
    _put_pixels(_floats(target, (3, input_height, input_width)), canvas, pixels)


def _warp(numbers: Sequence[int], count: int, pixels: bytes) -> None:
    image, width, height, samplings, target, crop_width, crop_height = numbers
    frame = _bytes(image, (height, width, 3))
    rows = _floats(samplings, (count, SAMPLING_VALUES))
    crops = _floats(target, (count, 3, crop_height, crop_width))
    for row, crop in zip(rows, crops, strict=True):
        low, step, size = row[6:8].round().astype(int), row[8:10], row[10:12].round().astype(int)
        high = low + (step * size).round().astype(int)
        part = frame[low[1] : high[1], low[0] : high[0]]
        if (size != high - low).any():
            part = _resized(part, (int(size[0]), int(size[1])), cv2.INTER_AREA)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped = cv2.warpAffine(part, row[:6].reshape(2, 3).astype(np.float64), (crop_width, crop_height), flags=flags)
        _put_pixels(crop, np.asarray(warped, np.uint8), pixels)


def _resized(image: Image, size: tuple[int, int], how: int) -> Image:
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)


def _put_pixels(target: Floats, picture: Image, pixels: bytes) -> None:
    """`struct Pixels` of kernels.cu: mean and deviation of three channels, and whether red comes first."""
    values = np.frombuffer(pixels[:24], np.float32)
    swap = np.frombuffer(pixels[24:], np.int32)[0]
    ordered = picture[..., ::-1] if swap else picture
    target[:] = ((ordered - values[:3]) / values[3:]).transpose(2, 0, 1)


def _bytes(address: int, shape: tuple[int, ...]) -> Image:
    block = (ctypes.c_uint8 * int(np.prod(shape))).from_address(address)
    return np.ctypeslib.as_array(block).reshape(shape)


def _floats(address: int, shape: tuple[int, ...]) -> Floats:
    block = (ctypes.c_float * int(np.prod(shape))).from_address(address)
    return np.ctypeslib.as_array(block).reshape(shape)
