"""Network inputs made on the GPU: pictures are uploaded once as uint8, and everything cut from them there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path

import numpy as np

from server.domain import ColourOrder, PixelSpec
from server.inference.backend import Tensor
from server.inference.cuts import SAMPLING_VALUES, Canvas, Cut, Cuts, Warp
from server.inference.gpu.device import Argument, Device, DeviceBuffer, HostBuffer, Kernels, Stream, drain
from server.inference.gpu.frames import Resident, ResidentFrames

_BLOCK = (16, 16, 1)
_FLOAT_BYTES = 4
_ROW_BYTES = SAMPLING_VALUES * _FLOAT_BYTES


def kernel_source() -> str:
    """The kernels in CUDA C++."""
    return (Path(__file__).parent / "kernels.cu").read_text()


class Samplings:
    """Room for the rows that say how crops are sampled: one of these for each batch on its way.

    Args:
        device: open in this thread.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._held: tuple[HostBuffer, DeviceBuffer] | None = None

    def put(self, cuts: Sequence[Cut], stream: Stream) -> int:
        """Puts a row for each cut on the device and answers where they begin; rows of canvases mean nothing.

        The stream must have done with the rows that were put before.

        Raises:
            DeviceError: OUT_OF_MEMORY.
        """
        host, device = self._room(len(cuts) * _ROW_BYTES)
        rows = host.array[: len(cuts) * _ROW_BYTES].view(np.float32).reshape(len(cuts), SAMPLING_VALUES)
        for row, cut in zip(rows, cuts, strict=True):
            row[:] = cut.place.row if isinstance(cut.place, Warp) else 0
        self._device.copy_in(device, host, len(cuts) * _ROW_BYTES, stream)
        return device.address

    def free(self) -> None:
        """Gives the memory back; nothing may be on its way."""
        held, self._held = self._held, None
        if held is not None:
            for buffer in held:
                buffer.free()

    def _room(self, nbytes: int) -> tuple[HostBuffer, DeviceBuffer]:
        if self._held is not None and self._held[1].nbytes >= nbytes:
            return self._held
        self.free()
        device = self._device.memory(nbytes)
        try:
            self._held = self._device.pinned(nbytes), device
        except BaseException:
            device.free()
            raise
        return self._held


class GpuPreprocessor:
    """Makes inputs of pictures; only the thread that owns the device may use it.

    Args:
        device: open in this thread.
        frames: the pictures on it.

    Raises:
        DeviceError: the kernels can't be compiled.
    """

    def __init__(self, device: Device, frames: ResidentFrames) -> None:
        self._device = device
        self._kernels: Kernels = device.compile(kernel_source())
        self.frames = frames

    def draw(
        self, cuts: Cuts, length: int, target: DeviceBuffer, samplings: Samplings, stream: Stream
    ) -> tuple[Resident, ...]:
        """Puts the making of a batch into a stream.

        Args:
            cuts: the batch, N rows.
            length: it is filled up to so many rows with copies of the last one.
            target: gets (length, 3, H, W) float32.
            samplings: of this batch alone until the stream has done with it.
            stream: where it happens.

        Returns:
            The pictures that are read; release them when the stream has come so far.

        Raises:
            DeviceError: OUT_OF_MEMORY, or the device refuses; nothing is leased then, and the stream has to be emptied.
        """
        rows = (*cuts.rows, *(cuts.rows[-1:] * (length - len(cuts))))
        leased: list[Resident] = []
        try:
            warped = any(isinstance(cut.place, Warp) for cut in rows)
            directions = samplings.put(rows, stream) if warped else 0
            first = 0
            for count, cut in _runs(rows):
                leased.append(self.frames.lease(cut.picture, stream))
                address = target.address + first * 3 * math.prod(cuts.size) * _FLOAT_BYTES
                if isinstance(cut.place, Canvas):
                    self._letterbox(leased[-1], cut.place, cuts.pixels, address, stream)
                else:
                    self._warp(leased[-1], directions + first * _ROW_BYTES, count, cuts, address, stream)
                first += count
        except BaseException:
            self._release(leased)
            raise
        return tuple(leased)

    def made(self, cuts: Cuts) -> Tensor:
        """A batch as it is made here, brought back to the host: for comparison with the CPU."""
        nbytes = math.prod(cuts.shape) * _FLOAT_BYTES
        with ExitStack() as undo:
            stream, samplings = self._device.stream(), Samplings(self._device)
            undo.callback(stream.free)
            undo.callback(samplings.free)
            target = self._device.memory(nbytes)
            undo.callback(target.free)
            host = self._device.pinned(nbytes)
            undo.callback(host.free)
            leased: list[Resident] = []
            undo.callback(self._release, leased)
            undo.callback(drain, stream)  # before anything is given back, also when something fails
            leased += self.draw(cuts, len(cuts), target, samplings, stream)
            self._device.copy_out(host, target, nbytes, stream)
            stream.synchronise()
            return np.array(host.array[:nbytes].view(np.float32).reshape(cuts.shape))

    def _letterbox(self, frame: Resident, canvas: Canvas, pixels: PixelSpec, target: int, stream: Stream) -> None:
        arguments: tuple[Argument, ...] = (
            frame.address, *_ints(*frame.size), target,
            *_ints(canvas.width, canvas.height, canvas.inner_width, canvas.inner_height, *canvas.grid), _packed(pixels),
        )  # fmt: skip
        self._kernels.launch("letterbox", _grid(canvas.width, canvas.height, 1), _BLOCK, arguments, stream)

    def _warp(self, frame: Resident, directions: int, count: int, cuts: Cuts, target: int, stream: Stream) -> None:
        arguments: tuple[Argument, ...] = (
            frame.address, *_ints(*frame.size), directions, target, *_ints(*cuts.size), _packed(cuts.pixels),
        )  # fmt: skip
        self._kernels.launch("warp", _grid(*cuts.size, count), _BLOCK, arguments, stream)

    def _release(self, leased: Sequence[Resident]) -> None:
        for one in leased:
            self.frames.release(one)


def _runs(rows: Sequence[Cut]) -> list[tuple[int, Cut]]:
    """Rows that one launch makes: warps of one picture that follow one another; each canvas by itself."""
    runs: list[tuple[int, Cut]] = []
    for _, group in groupby(rows, key=lambda cut: (id(cut.picture), isinstance(cut.place, Warp))):
        same = list(group)
        if isinstance(same[0].place, Warp):
            runs.append((len(same), same[0]))
        else:
            runs += [(1, cut) for cut in same]
    return runs


def _ints(*values: int) -> tuple[np.int32, ...]:
    return tuple(np.int32(value) for value in values)


def _packed(pixels: PixelSpec) -> bytes:
    """`struct Pixels` of kernels.cu."""
    swap = np.int32(pixels.colour is ColourOrder.RGB)
    return np.asarray([*pixels.mean, *pixels.std], np.float32).tobytes() + swap.tobytes()


def _grid(width: int, height: int, depth: int) -> tuple[int, int, int]:
    return -(-width // _BLOCK[0]), -(-height // _BLOCK[1]), depth
