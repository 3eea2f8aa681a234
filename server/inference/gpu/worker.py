"""The one thread that owns a device, and the batches on their way through it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TypeAlias, TypeVar

import numpy as np

from server.domain import Image
from server.errors import InferenceError
from server.inference.backend import Tensor
from server.inference.cuts import Batch, Cuts
from server.inference.engines.profiles import ShapeProfile
from server.inference.gpu.device import Device, DeviceError, LoadedEngine, OpenDevice, Trouble
from server.inference.gpu.frames import ResidentFrames
from server.inference.gpu.preprocess import GpuPreprocessor
from server.inference.gpu.slot import Slot

_log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Tensors: TypeAlias = tuple[Tensor, ...]

SLOTS = 2
"""Batches of one network on their way at once: one is copied while the other is computed."""


class Network:
    """An engine on the device; only the worker's thread uses it.

    Attributes:
        limit: rows in one batch at most; halved whenever the device runs out of memory.
    """

    def __init__(
        self,
        device: Device,
        plan: bytes,
        profiles: tuple[ShapeProfile, ...],
        preprocessor: GpuPreprocessor | None = None,
    ) -> None:
        """Loads the engine.

        Args:
            device: open in this thread.
            plan: of the engine.
            profiles: that it was built for.
            preprocessor: makes batches on the device; None where they are made on the CPU.

        Raises:
            DeviceError: the device refuses it.
        """
        self.profiles = profiles
        self.limit = max(profile.max_batch for profile in profiles)
        self.engine: LoadedEngine = device.load(plan)
        self.slots = [Slot(device, self.engine, profiles, preprocessor) for _ in range(SLOTS)]
        self.idle = deque(self.slots)
        self.open = True

    def longest(self, size: tuple[int, ...]) -> int:
        """Rows of this size (3, H, W) that one batch may have; 0 when no profile takes it."""
        fitting = [one.max_batch for one in self.profiles if one.takes((1, *size))]
        return min(self.limit, max(fitting, default=0))

    def close(self) -> None:
        """Gives all memory back."""
        self.open = False
        for slot in self.slots:
            slot.close()
        self.engine.free()


@dataclass(slots=True, eq=False)
class _Call:
    """One caller's batch, cut into what the device takes at once.

    Attributes:
        waiting: (first, last + 1) rows that are not on their way yet, in order.
        answers: outputs of the pieces that are back, by first row.
    """

    network: Network
    batch: Batch
    future: Future[Tensors] = field(default_factory=Future)
    waiting: deque[tuple[int, int]] = field(default_factory=deque)
    answers: dict[int, Tensors] = field(default_factory=dict)
    rows_back: int = 0


@dataclass(slots=True, eq=False)
class _Flight:
    """A piece on its way."""

    call: _Call
    piece: tuple[int, int]
    slot: Slot


_Job: TypeAlias = "_Call | Callable[[], None] | None"


class GpuWorker:
    """Owns a device from one thread, because CUDA contexts break across threads.

    Batches are put on their way as they come, on one of `SLOTS` streams of their network, so that a batch is copied
    while the one before it is computed. Answers are put together in the order of the caller's rows.

    - Out of memory: everything on its way is brought home, caches are emptied, and the batch goes again in halves, as
      later ones of that network do.
    - Lost device: every call that waits and every later one fails with DEVICE_LOST.

    Args:
        open_device: opens the device; called in the worker's thread.

    Raises:
        FacestreamError: what `open_device` raises.
    """

    def __init__(self, open_device: OpenDevice) -> None:
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._flights: deque[_Flight] = deque()
        self._lost: str | None = None
        self._closing = threading.Lock()
        self._closed = False
        self._frames: ResidentFrames | None = None
        self._preprocessor: GpuPreprocessor | None = None
        opened: Future[Device] = Future()
        self._thread = threading.Thread(target=self._work, args=(open_device, opened), name="gpu", daemon=True)
        self._thread.start()
        try:
            device = opened.result()
        except BaseException:
            self._thread.join()  # which leaves the device
            raise
        self.device_name, self.architecture = device.name, device.architecture

    @property
    def lost(self) -> bool:
        """Whether the device is lost."""
        return self._lost is not None

    @property
    def makes_batches(self) -> bool:
        """Whether batches can be made on the device, of pictures; not where its kernels can't be compiled."""
        return self._preprocessor is not None

    def holds(self, picture: Image) -> bool:
        """Whether a picture lies on the device now."""
        return self._frames is not None and self._frames.holds(picture)

    def make(self, cuts: Cuts) -> Tensor:
        """A batch as the device makes it, (N, 3, H, W) float32: for comparison with `Cuts.tensor`.

        Raises:
            InferenceError: BACKEND_FAILED when the device makes no batches or refuses, DEVICE_LOST, BACKEND_CLOSED.
        """

        def made(_device: Device) -> Tensor:
            if self._preprocessor is None:
                raise InferenceError("BACKEND_FAILED", "the GPU makes no batches, for want of its kernels")
            try:
                return self._preprocessor.made(cuts)
            except DeviceError as error:
                self._note(error)
                raise InferenceError("BACKEND_FAILED", f"the GPU makes no batch: {error.message}") from error

        return self.do(made)

    def load(self, plan: bytes, profiles: tuple[ShapeProfile, ...]) -> Network:
        """Loads an engine.

        Raises:
            InferenceError: ENGINE_NOT_LOADED, DEVICE_LOST, BACKEND_CLOSED.
        """
        return self.do(lambda device: Network(device, plan, profiles, self._preprocessor))

    def unload(self, network: Network) -> None:
        """Gives the memory of a network back, after what is on its way; of no effect once the device is lost."""
        if not self.lost and not self._closed:
            self.do(lambda _device: network.close())

    def free_bytes(self) -> int:
        """Memory of the device that nobody holds.

        Raises:
            InferenceError: DEVICE_LOST, BACKEND_CLOSED.
        """
        return self.do(lambda device: device.free_bytes())

    def run(self, network: Network, batch: Batch) -> Tensors:
        """The outputs for a batch (N, 3, H, W) float32, made or not, of any length whose size a profile takes.

        Raises:
            InferenceError: BACKEND_FAILED, DEVICE_OUT_OF_MEMORY, DEVICE_LOST, BACKEND_CLOSED.
        """
        call = _Call(network, batch)
        self._hand_over(call)
        return call.future.result()

    def close(self) -> None:
        """Finishes what is on its way and leaves the device. May be called again."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()

    def do(self, work: Callable[[Device], Answer]) -> Answer:
        """What `work` answers when the worker's thread runs it, after the batches that wait, with nothing on its way.

        Raises:
            InferenceError: ENGINE_NOT_LOADED for a DeviceError, DEVICE_LOST, BACKEND_CLOSED.
        """
        done: Future[Answer] = Future()

        def job() -> None:
            try:
                self._land_all()
                done.set_result(work(self._device))
            except DeviceError as error:
                self._note(error)
                done.set_exception(_not_loaded(error))
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever asked
                done.set_exception(error)

        self._hand_over(job)
        return done.result()

    def _hand_over(self, job: _Call | Callable[[], None]) -> None:
        with self._closing:
            if self._closed:
                raise InferenceError("BACKEND_CLOSED", "the GPU was closed and takes no more batches")
            if self._lost is not None:
                raise _lost(self._lost)
            self._jobs.put(job)

    def _work(self, open_device: OpenDevice, opened: Future[Device]) -> None:
        try:
            self._device = open_device()
        except BaseException as error:  # noqa: BLE001 - raised again where the worker is made
            opened.set_exception(error)
            return
        try:
            self._serve(opened)
        finally:
            # Also a lost one: a thread that ends in a context of pycuda's ends the process.
            with suppress(DeviceError):
                self._device.close()

    def _serve(self, opened: Future[Device]) -> None:
        try:
            self._prepare(self._device)
        except BaseException as error:  # noqa: BLE001 - raised again where the worker is made
            opened.set_exception(error)
            return
        opened.set_result(self._device)
        while (job := self._next()) is not None:
            if isinstance(job, _Call):
                self._begin(job)
            else:
                job()
        self._land_all()
        if self._lost is None and self._frames is not None:
            with suppress(DeviceError):
                self._frames.close()

    def _prepare(self, device: Device) -> None:
        """Compiles the kernels; without them batches are made on the CPU, which is said."""
        frames = ResidentFrames(device)
        try:
            self._preprocessor = GpuPreprocessor(device, frames)
        except DeviceError as error:
            _log.error(
                "the GPU's kernels can't be had, so pictures are prepared on the CPU: %s", error.message,
                extra={"install": "the CUDA toolkit's nvcc, or nvidia-cuda-nvrtc with cuda-bindings"},
            )  # fmt: skip
            return
        self._frames = frames

    def _next(self) -> _Job:
        """The next job; while there is none, what is on its way is brought home."""
        while self._flights:
            try:
                return self._jobs.get_nowait()
            except Empty:
                self._land()
        return self._jobs.get()

    def _begin(self, call: _Call) -> None:
        if self._lost is not None:
            call.future.set_exception(_lost(self._lost))
            return
        if not call.network.open:
            call.future.set_exception(
                InferenceError("BACKEND_CLOSED", "the network was closed and takes no more batches")
            )
            return
        call.waiting.append((0, len(call.batch)))
        try:
            self._go_on(call)
        except BaseException as error:  # noqa: BLE001 - a bug must reach its caller, not end the thread
            _fail(call, error)

    def _go_on(self, call: _Call) -> None:
        """Puts the rows of a call that wait on their way, in pieces that the device takes."""
        while call.waiting and not call.future.done():
            if self._lost is not None:  # places of what was on its way are not given back then
                _fail(call, _lost(self._lost))
                return
            if not call.network.idle:
                self._land()
                continue
            longest = call.network.longest(call.batch.shape[1:])
            piece = first, end = _cut(call.waiting, longest)
            slot = call.network.idle.popleft()
            try:
                slot.start(call.batch[first:end], _bucket(end - first, longest))
            except DeviceError as error:
                call.network.idle.append(slot)
                self._failed(call, piece, error)
            except BaseException as error:  # noqa: BLE001 - a bug must reach its caller, not end the thread
                call.network.idle.append(slot)
                call.future.set_exception(error)
            else:
                self._flights.append(_Flight(call, piece, slot))

    def _land(self) -> None:
        """Brings the oldest piece home."""
        flight = self._flights.popleft()
        call = flight.call
        try:
            answer = flight.slot.land()
        except DeviceError as error:
            call.network.idle.append(flight.slot)
            self._failed(call, flight.piece, error)
            return
        except BaseException as error:  # noqa: BLE001 - as in `_go_on`
            call.network.idle.append(flight.slot)
            _fail(call, error)
            return
        call.network.idle.append(flight.slot)
        call.answers[flight.piece[0]] = answer
        call.rows_back += flight.piece[1] - flight.piece[0]
        if call.rows_back == len(call.batch) and not call.future.done():
            _answer(call)

    def _land_all(self) -> None:
        while self._flights:
            self._land()

    def _failed(self, call: _Call, piece: tuple[int, int], error: DeviceError) -> None:
        self._note(error)
        first, end = piece
        if call.future.done():
            return
        match error.trouble:
            case Trouble.OUT_OF_MEMORY if end - first > 1:
                self._halve(call, piece, error)
            case _:
                call.future.set_exception(_failure(error))

    def _halve(self, call: _Call, piece: tuple[int, int], error: DeviceError) -> None:
        first, end = piece
        half = _power_below(end - first)
        call.network.limit = min(call.network.limit, half)
        _log.warning(
            "GPU out of memory; batches are halved",
            extra={"rows": end - first, "limit": call.network.limit, "error": error.message},
        )
        call.waiting.appendleft(piece)
        self._land_all()
        if self._lost is None:
            try:
                self._shrink(call.network)
            except DeviceError as trouble:
                self._note(trouble)
                _fail(call, _failure(trouble))
        self._go_on(call)

    def _shrink(self, network: Network) -> None:
        """Gives back the memory of a network with nothing on its way, and of pictures."""
        for slot in network.slots:
            slot.shrink()
        if self._frames is not None:
            self._frames.shrink()

    def _note(self, error: DeviceError) -> None:
        """Once the device is lost, everything that waits is told."""
        if error.trouble is not Trouble.LOST or self._lost is not None:
            return
        with self._closing:
            self._lost = error.message
        _log.error("GPU lost", extra={"error": error.message})
        for flight in self._flights:
            _fail(flight.call, _lost(error.message))
        self._flights.clear()


def _answer(call: _Call) -> None:
    """Puts the pieces together, which takes memory of the host that may not be there."""
    parts = [call.answers[first] for first in sorted(call.answers)]
    try:
        whole = parts[0] if len(parts) == 1 else _joined(parts)
    except BaseException as error:  # noqa: BLE001 - as in `_go_on`
        _fail(call, error)
    else:
        call.future.set_result(whole)


def _fail(call: _Call, error: BaseException) -> None:
    """Tells a caller, unless it has its answer."""
    if not call.future.done():
        call.future.set_exception(error)


def _failure(error: DeviceError) -> InferenceError:
    match error.trouble:
        case Trouble.LOST:
            return _lost(error.message)
        case Trouble.OUT_OF_MEMORY:
            return _out_of_memory(error)
        case Trouble.FAILED:
            return InferenceError("BACKEND_FAILED", f"the GPU failed: {error.message}")


def _cut(waiting: deque[tuple[int, int]], longest: int) -> tuple[int, int]:
    """Takes the next rows, at most `longest`."""
    first, end = waiting.popleft()
    if end - first > longest:
        waiting.appendleft((first + longest, end))
        end = first + longest
    return first, end


def _bucket(rows: int, longest: int) -> int:
    """The next power of two, so that few shapes are ever seen."""
    return min(longest, 1 << (rows - 1).bit_length())


def _power_below(rows: int) -> int:
    """The largest power of two below `rows`, which is at least 2."""
    return 1 << ((rows - 1).bit_length() - 1)


def _joined(parts: list[Tensors]) -> Tensors:
    return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))


def _lost(message: str) -> InferenceError:
    return InferenceError(
        "DEVICE_LOST",
        f"the GPU is lost: {message}. Look at `nvidia-smi` and the system's log, then restart the server",
    )


def _out_of_memory(error: DeviceError) -> InferenceError:
    return InferenceError(
        "DEVICE_OUT_OF_MEMORY",
        f"the GPU has no memory for a single picture: {error.message}. Free memory on it, or lower --detect-side",
    )


def _not_loaded(error: DeviceError) -> InferenceError:
    return InferenceError("ENGINE_NOT_LOADED", f"the GPU did not take the engine: {error.message}")
