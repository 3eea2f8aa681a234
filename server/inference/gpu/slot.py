"""A place for one batch on its way through the device: its stream, its buffers, and what is prepared for its shapes."""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from server.inference.backend import Tensor
from server.inference.cuts import Batch, Cuts, as_tensor
from server.inference.engines.one_build import no_build
from server.inference.engines.profiles import Shape, ShapeProfile
from server.inference.gpu.device import (
    Device,
    DeviceBuffer,
    DeviceError,
    ExecutionContext,
    Graph,
    HostBuffer,
    LoadedEngine,
    Trouble,
    drain,
)
from server.inference.gpu.frames import Resident
from server.inference.gpu.preprocess import GpuPreprocessor, Samplings

_log = logging.getLogger(__name__)

SHAPES_KEPT = 16
"""Shapes that a slot stays prepared for; the one unused for longest goes first."""
RECORDINGS = 3
"""Attempts at recording the run of a shape."""
_FLOAT_BYTES = 4


@dataclass(slots=True, eq=False)
class _Prepared:
    """The engine made ready for one shape.

    Attributes:
        context: of the engine.
        runs: how often it ran.
        graph: the recorded run; None until the second one, or where it can't be recorded.
        failures: how often it could not be recorded.
    """

    context: ExecutionContext
    runs: int = 0
    graph: Graph | None = None
    failures: int = 0


@dataclass(slots=True, eq=False)
class _Pair:
    """A buffer on the host and its counterpart on the device, which only ever grow."""

    host: HostBuffer
    device: DeviceBuffer

    def free(self) -> None:
        self.host.free()
        self.device.free()


class Slot:
    """Holds one batch from its copy to the device until its outputs are back.

    Args:
        device: open in this thread.
        engine: loaded on it.
        profiles: what the engine takes.
        preprocessor: makes batches on the device; None where that can't be, and they are made on the CPU.
    """

    def __init__(
        self,
        device: Device,
        engine: LoadedEngine,
        profiles: Sequence[ShapeProfile],
        preprocessor: GpuPreprocessor | None = None,
    ) -> None:
        self._device = device
        self._preprocessor = preprocessor
        self._samplings = Samplings(device)
        self._leased: tuple[Resident, ...] = ()
        self._engine = engine
        self._profiles = profiles
        self._stream = device.stream()
        self._event = device.event()
        # The input's buffers, then those of the outputs.
        self._pairs: list[_Pair | None] = [None] * (1 + len(engine.outputs))
        self._scratch: DeviceBuffer | None = None
        self._prepared: OrderedDict[Shape, _Prepared] = OrderedDict()
        self._shapes: tuple[tuple[int, ...], ...] = ()
        self._rows = 0

    def start(self, rows: Batch, length: int) -> None:
        """Puts a batch on its way; the slot is taken until `land`.

        Args:
            rows: (N, 3, H, W) float32, N >= 1, made or not.
            length: the batch is filled up to so many rows with copies of the last one.

        Raises:
            DeviceError: the device can't.
        """
        try:
            self._start(rows, length)
        except BaseException:
            # What was put into the stream before must not find its buffers used for something else.
            drain(self._stream)
            self._release_pictures()
            raise

    def _start(self, rows: Batch, length: int) -> None:
        _, channels, height, width = rows.shape
        shape: Shape = (length, channels, height, width)
        profile = next(index for index, one in enumerate(self._profiles) if one.takes(shape))
        prepared = self._prepare(shape, profile)
        self._fill(rows, length)
        self._launch(prepared)
        self._shapes, self._rows = prepared.context.output_shapes, len(rows)
        for pair, wanted in zip(self._held()[1:], self._shapes, strict=True):
            self._device.copy_out(pair.host, pair.device, math.prod(wanted) * _FLOAT_BYTES, self._stream)
        self._event.record(self._stream)

    def land(self) -> tuple[Tensor, ...]:
        """Waits for the batch and gives its outputs, as arrays of the caller's own.

        Raises:
            DeviceError: something failed on the way.
        """
        try:
            self._event.wait()
        finally:
            self._release_pictures()
        answers = []
        for pair, shape in zip(self._held()[1:], self._shapes, strict=True):
            values = pair.host.array[: math.prod(shape) * _FLOAT_BYTES].view(np.float32).reshape(shape)
            answers.append(values[: self._rows].copy())
        return tuple(answers)

    def shrink(self) -> None:
        """Gives all memory back; nothing may be on its way."""
        drain(self._stream)
        self._forget()
        self._samplings.free()
        for index in range(len(self._pairs)):
            self._release(index)
        if self._scratch is not None:
            self._scratch.free()
            self._scratch = None

    def close(self) -> None:
        """As `shrink`, and nothing can be put on its way any more."""
        self.shrink()
        self._event.free()
        self._stream.free()

    def _launch(self, prepared: _Prepared) -> None:
        """The first run of a shape is a plain one, because libraries set themselves up in it; then it is recorded."""
        if prepared.runs and prepared.graph is None and prepared.failures < RECORDINGS and prepared.context.capturable:
            self._record(prepared)
        if prepared.graph is None:
            prepared.context.enqueue(self._stream)
        else:
            prepared.graph.launch(self._stream)
        prepared.runs += 1

    def _record(self, prepared: _Prepared) -> None:
        """A run of it as a graph, unless an engine is being built or it can't be recorded: plain runs will do."""
        context = prepared.context
        with no_build() as undisturbed:
            if not undisturbed:
                return
            try:
                prepared.graph = self._device.capture(self._stream, lambda: context.enqueue(self._stream))
            except DeviceError as error:
                if error.trouble is not Trouble.FAILED:
                    raise
                prepared.failures += 1
                _log.warning("a network's run can't be recorded (%s), so it is put together anew", error.message)

    def _prepare(self, shape: Shape, profile: int) -> _Prepared:
        """The engine ready for the shape, with room for it in the buffers."""
        known = self._prepared.get(shape)
        if known is not None:
            self._prepared.move_to_end(shape)
            return known
        context = self._engine.context(profile, shape, self._stream)
        scratch = self._room(context.scratch_bytes)
        for index, wanted in enumerate((shape, *context.output_shapes)):
            self._grow(index, math.prod(wanted) * _FLOAT_BYTES)
        source, *outputs = (pair.device for pair in self._held())
        context.bind(source, outputs, scratch)
        self._prepared[shape] = prepared = _Prepared(context)
        if len(self._prepared) > SHAPES_KEPT:
            self._drop(next(iter(self._prepared)))
        return prepared

    def _grow(self, index: int, nbytes: int) -> None:
        """Room in a pair of buffers; when it moves, what was prepared with the old addresses is forgotten."""
        held = self._pairs[index]
        if held is not None and held.device.nbytes >= nbytes:
            return
        self._forget()
        self._release(index)
        device = self._device.memory(nbytes)
        try:
            self._pairs[index] = _Pair(self._device.pinned(nbytes), device)
        except BaseException:
            device.free()
            raise

    def _release(self, index: int) -> None:
        held, self._pairs[index] = self._pairs[index], None
        if held is not None:
            held.free()

    def _held(self) -> list[_Pair]:
        """All pairs, once there is room for a batch."""
        pairs = [pair for pair in self._pairs if pair is not None]
        assert len(pairs) == len(self._pairs)
        return pairs

    def _room(self, nbytes: int) -> DeviceBuffer:
        """Memory to compute in; when it moves, what was prepared with the old one is forgotten."""
        if self._scratch is not None and self._scratch.nbytes >= nbytes:
            return self._scratch
        self._forget()
        if self._scratch is not None:
            self._scratch.free()
            self._scratch = None
        self._scratch = self._device.memory(nbytes)
        return self._scratch

    def _fill(self, rows: Batch, length: int) -> None:
        """Puts the making of the input into the stream, or its copying where it is made already."""
        source = self._held()[0]
        if isinstance(rows, Cuts) and self._preprocessor is not None:
            self._leased = self._preprocessor.draw(rows, length, source.device, self._samplings, self._stream)
            return
        nbytes = self._stage(as_tensor(rows), length, source)
        self._device.copy_in(source.device, source.host, nbytes, self._stream)

    def _release_pictures(self) -> None:
        leased, self._leased = self._leased, ()
        if self._preprocessor is not None:
            for one in leased:
                self._preprocessor.frames.release(one)

    @staticmethod
    def _stage(rows: Tensor, length: int, source: _Pair) -> int:
        """Writes a batch into page-locked memory and answers its bytes."""
        count, each = len(rows), math.prod(rows.shape[1:])
        staged = source.host.array[: length * each * _FLOAT_BYTES].view(np.float32).reshape(length, *rows.shape[1:])
        staged[:count] = rows
        # Copies, not zeros: a network that divides by its input's norm would answer zeros with NaN.
        staged[count:] = rows[-1]
        return staged.nbytes

    def _drop(self, shape: Shape) -> None:
        graph = self._prepared.pop(shape).graph
        if graph is not None:
            graph.free()

    def _forget(self) -> None:
        for shape in list(self._prepared):
            self._drop(shape)
