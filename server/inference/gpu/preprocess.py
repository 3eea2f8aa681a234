"""Network inputs made on the GPU: the frame is uploaded once as uint8, and everything cut from it there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from server.domain import ColourOrder, Image, PixelSpec
from server.inference.backend import Tensor
from server.inference.gpu.device import Argument, Device, DeviceBuffer, HostBuffer, Kernels, Stream

SAMPLING_VALUES = 12
"""Values in a row that says how a crop is sampled; kernels.cu names them."""

_BLOCK = (16, 16, 1)
_FLOAT_BYTES = 4


def kernel_source() -> str:
    """The kernels in CUDA C++."""
    return (Path(__file__).parent / "kernels.cu").read_text()


@dataclass(frozen=True, slots=True)
class Canvas:
    """Where a frame lies in a detector's input.

    Attributes:
        width: of the input, pixels.
        height: of the input, pixels.
        inner_width: of the shrunk frame in its top left corner, pixels.
        inner_height: of the shrunk frame, pixels.
        grid: (width, height) of the frame when it was halved as often as it goes (`server.vision.preprocess.halved`).
    """

    width: int
    height: int
    inner_width: int
    inner_height: int
    grid: tuple[int, int]


class GpuPreprocessor:
    """Makes inputs from frames; only the thread that owns the device may use it.

    Args:
        device: open in this thread.

    Raises:
        DeviceError: the kernels can't be compiled.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._kernels: Kernels = device.compile(kernel_source())
        self._stream = device.stream()
        self._image: tuple[HostBuffer, DeviceBuffer] | None = None
        self._size = (0, 0)

    @property
    def stream(self) -> Stream:
        """In which all of it happens."""
        return self._stream

    def upload(self, image: Image) -> None:
        """Puts a frame (H, W, 3) uint8 BGR on the device; what is made from then on is made of it.

        Raises:
            DeviceError: OUT_OF_MEMORY.
        """
        self._stream.synchronise()  # the frame before may still be on its way out of the page-locked buffer
        if self._image is None or self._image[1].nbytes < image.nbytes:
            self._release()
            self._image = self._device.pinned(image.nbytes), self._device.memory(image.nbytes)
        host, device = self._image
        host.array[: image.nbytes] = image.reshape(-1)
        self._device.copy_in(device, host, image.nbytes, self._stream)
        self._size = (image.shape[1], image.shape[0])

    def letterbox(self, canvas: Canvas, pixels: PixelSpec, target: DeviceBuffer) -> None:
        """The frame as a detector's input, (1, 3, canvas.height, canvas.width) float32, into `target`."""
        arguments: tuple[Argument, ...] = (
            self._frame().address, *_ints(*self._size), target.address,
            *_ints(canvas.width, canvas.height, canvas.inner_width, canvas.inner_height, *canvas.grid), _packed(pixels),
        )  # fmt: skip
        self._kernels.launch("letterbox", _grid(canvas.width, canvas.height, 1), _BLOCK, arguments, self._stream)

    def warp(
        self, samplings: DeviceBuffer, count: int, size: tuple[int, int], pixels: PixelSpec, target: DeviceBuffer
    ) -> None:
        """Crops of the frame as an embedder's input, (count, 3, H, W) float32, into `target`.

        Args:
            samplings: (count, 12) float32, how each crop is sampled, as kernels.cu says.
            count: of crops, at least 1.
            size: (width, height) of a crop, pixels.
            pixels: the network's wish.
            target: where they go.
        """
        arguments: tuple[Argument, ...] = (
            self._frame().address, *_ints(*self._size), samplings.address, target.address, *_ints(*size),
            _packed(pixels),
        )  # fmt: skip
        self._kernels.launch("warp", _grid(*size, count), _BLOCK, arguments, self._stream)

    def letterboxed(self, image: Image, canvas: Canvas, pixels: PixelSpec) -> Tensor:
        """`letterbox` of an image, brought back to the host: for comparison with the CPU."""
        shape = (1, 3, canvas.height, canvas.width)
        self.upload(image)
        target = self._device.memory(math.prod(shape) * _FLOAT_BYTES)
        self.letterbox(canvas, pixels, target)
        return self._home(target, shape)

    def warped(self, image: Image, samplings: NDArray[np.float32], size: tuple[int, int], pixels: PixelSpec) -> Tensor:
        """`warp` of an image, brought back to the host: for comparison with the CPU."""
        width, height = size
        shape = (len(samplings), 3, height, width)
        self.upload(image)
        rows = np.ascontiguousarray(samplings, np.float32)
        staged, held = self._device.pinned(rows.nbytes), self._device.memory(rows.nbytes)
        staged.array[: rows.nbytes] = rows.reshape(-1).view(np.uint8)
        self._device.copy_in(held, staged, rows.nbytes, self._stream)
        target = self._device.memory(math.prod(shape) * _FLOAT_BYTES)
        self.warp(held, len(rows), size, pixels, target)
        answer = self._home(target, shape)
        staged.free()
        held.free()
        return answer

    def close(self) -> None:
        """Gives the frame's memory back."""
        self._stream.synchronise()
        self._release()

    def _home(self, target: DeviceBuffer, shape: tuple[int, ...]) -> Tensor:
        host = self._device.pinned(target.nbytes)
        self._device.copy_out(host, target, target.nbytes, self._stream)
        self._stream.synchronise()
        answer = host.array[: target.nbytes].view(np.float32).reshape(shape).copy()
        host.free()
        target.free()
        return answer

    def _frame(self) -> DeviceBuffer:
        assert self._image is not None
        return self._image[1]

    def _release(self) -> None:
        if self._image is not None:
            for buffer in self._image:
                buffer.free()
            self._image = None


def _ints(*values: int) -> tuple[np.int32, ...]:
    return tuple(np.int32(value) for value in values)


def _packed(pixels: PixelSpec) -> bytes:
    """`struct Pixels` of kernels.cu."""
    swap = np.int32(pixels.colour is ColourOrder.RGB)
    return np.asarray([*pixels.mean, *pixels.std], np.float32).tobytes() + swap.tobytes()


def _grid(width: int, height: int, depth: int) -> tuple[int, int, int]:
    return -(-width // _BLOCK[0]), -(-height // _BLOCK[1]), depth
