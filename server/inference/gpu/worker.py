"""The one thread that owns a device."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeAlias, TypeVar

from server.domain import Image
from server.errors import InferenceError
from server.inference.backend import Tensor
from server.inference.cuts import Batch, Cuts
from server.inference.engines.profiles import ShapeProfile
from server.inference.gpu.device import Device, DeviceError, OpenDevice
from server.inference.gpu.failures import lost, not_loaded
from server.inference.gpu.flights import Call, Flights, Tensors
from server.inference.gpu.frames import ResidentFrames
from server.inference.gpu.network import Network
from server.inference.gpu.preprocess import GpuPreprocessor

_log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_Job: TypeAlias = "Call | Callable[[], None] | None"


class GpuWorker:
    """Owns a device from one thread, because CUDA contexts break across threads.

    Batches are put on their way as they come, on one of the streams of their network, so that a batch is copied
    while the one before it is computed. Answers are put together in the order of the caller's rows.

    `Flights` says what happens when the device runs out of memory or is lost.

    Args:
        open_device: opens the device; called in the worker's thread.

    Raises:
        FacestreamError: what `open_device` raises.
    """

    def __init__(self, open_device: OpenDevice) -> None:
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._flights = Flights(self._spare, self._try)
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
        return self._flights.lost is not None

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
                self._flights.note(error)
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
        call = Call(network, batch)
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
                self._flights.land_all()
                done.set_result(work(self._device))
            except DeviceError as error:
                self._flights.note(error)
                done.set_exception(not_loaded(error))
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever asked
                done.set_exception(error)

        self._hand_over(job)
        return done.result()

    def _hand_over(self, job: Call | Callable[[], None]) -> None:
        with self._closing:
            if self._closed:
                raise InferenceError("BACKEND_CLOSED", "the GPU was closed and takes no more batches")
            if self._flights.lost is not None:
                raise lost(self._flights.lost)
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
            if isinstance(job, Call):
                self._flights.begin(job)
            else:
                job()
        self._flights.land_all()
        if not self.lost and self._frames is not None:
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
                self._flights.land()
        return self._jobs.get()

    def _spare(self) -> None:
        """Gives back the memory of pictures."""
        if self._frames is not None:
            self._frames.shrink()

    def _try(self) -> None:
        """Has the device come to the end of an empty stream."""
        stream = self._device.stream()
        try:
            stream.synchronise()
        finally:
            stream.free()
        self._device.free_bytes()
