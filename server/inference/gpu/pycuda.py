"""A GPU through pycuda."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from server.inference.engines.library import EngineLibrary
from server.inference.gpu.cuda_python import compiled
from server.inference.gpu.device import (
    Argument,
    Bytes,
    DeviceBuffer,
    DeviceError,
    Event,
    Graph,
    HostBuffer,
    Kernels,
    LoadedEngine,
    Stream,
    Trouble,
)
from server.inference.gpu.driver import Driver
from server.inference.gpu.graphs import capture
from server.inference.gpu.loss import trouble_in
from server.inference.gpu.trt import TensorRtRuntime

_log = logging.getLogger(__name__)


class PycudaDevice:
    """A `Device`. Pushes the GPU's primary context, which TensorRT uses as well, onto this thread's stack.

    Args:
        library: loads engines.
        cuda: `pycuda.driver`.
        bindings: `cuda.bindings.driver`, for graphs; None to do without.
        nvrtc: `cuda.bindings.nvrtc`, to compile kernels; None to do without.

    Raises:
        DeviceError: there is no GPU, or no driver for it.
    """

    def __init__(
        self,
        library: EngineLibrary,
        cuda: Any,  # noqa: ANN401 - none of these has types
        bindings: Any,  # noqa: ANN401
        *,
        nvrtc: Any = None,  # noqa: ANN401
        index: int = 0,
    ) -> None:
        self._cuda = cuda
        self._nvrtc = nvrtc
        self._driver = None if bindings is None else Driver(bindings)
        with translated(cuda):
            cuda.init()
            device = cuda.Device(index)
            self.name = str(device.name())
            self.architecture = "sm{}{}".format(*device.compute_capability())
            self._context = device.retain_primary_context()
            self._context.push()
        try:
            self._runtime = TensorRtRuntime(library)
        except BaseException:
            self.close()
            raise

    def free_bytes(self) -> int:
        """As `Device.free_bytes`."""
        with translated(self._cuda):
            return int(self._cuda.mem_get_info()[0])

    def pinned(self, nbytes: int) -> HostBuffer:
        """As `Device.pinned`."""
        with translated(self._cuda):
            return _Pinned(self._cuda, nbytes)

    def memory(self, nbytes: int) -> DeviceBuffer:
        """As `Device.memory`."""
        with translated(self._cuda):
            return _Memory(self._cuda, nbytes)

    def stream(self) -> Stream:
        """As `Device.stream`."""
        with translated(self._cuda):
            return _Stream(self._cuda)

    def event(self) -> Event:
        """As `Device.event`."""
        with translated(self._cuda):
            return _Event(self._cuda)

    def copy_in(self, target: DeviceBuffer, source: HostBuffer, nbytes: int, stream: Stream) -> None:
        """As `Device.copy_in`."""
        assert isinstance(stream, _Stream)
        with translated(self._cuda):
            self._cuda.memcpy_htod_async(target.address, source.array[:nbytes], stream.stream)

    def copy_out(self, target: HostBuffer, source: DeviceBuffer, nbytes: int, stream: Stream) -> None:
        """As `Device.copy_out`."""
        assert isinstance(stream, _Stream)
        with translated(self._cuda):
            self._cuda.memcpy_dtoh_async(target.array[:nbytes], source.address, stream.stream)

    def capture(self, stream: Stream, work: Callable[[], None]) -> Graph | None:
        """As `Device.capture`."""
        return None if self._driver is None else capture(self._driver, stream, work)

    def load(self, plan: bytes) -> LoadedEngine:
        """As `Device.load`."""
        return self._runtime.load(plan)

    def compile(self, source: str) -> Kernels:
        """As `Device.compile`: with NVRTC where cuda-bindings find it, else with nvcc, which pycuda calls."""
        module = self._compiled(source)
        if module is not None:
            return _Kernels(self._cuda, module)
        from pycuda.compiler import SourceModule

        try:
            return _Kernels(self._cuda, SourceModule(source, no_extern_c=True))
        except Exception as error:  # CompileError, or whatever a missing nvcc raises
            raise DeviceError(Trouble.FAILED, f"the kernels do not compile: {error}") from error

    def _compiled(self, source: str) -> Any:  # noqa: ANN401
        """What NVRTC makes of the source; None where it isn't installed or too new for the driver: nvcc may do."""
        if self._nvrtc is None:
            return None
        try:
            image = compiled(self._nvrtc, source, self.architecture)
            with translated(self._cuda):
                return self._cuda.module_from_buffer(image)
        except DeviceError as error:
            if error.trouble is Trouble.LOST:
                raise
            _log.warning("NVRTC does not serve, nvcc is tried: %s", error.message)
            return None

    def close(self) -> None:
        """Leaves the primary context, also a broken one.

        Without `pop`, which fails for those: `detach` takes the context off pycuda's stack as well, and a thread that
        ends with something on it ends the process (pycuda 2026.1, src/cpp/cuda.hpp).
        """
        with translated(self._cuda):
            self._context.detach()


class _Pinned:
    def __init__(self, cuda: Any, nbytes: int) -> None:  # noqa: ANN401 - pycuda has no types
        self._array: Bytes | None = cuda.pagelocked_empty(nbytes, np.uint8)

    @property
    def array(self) -> Bytes:
        assert self._array is not None
        return self._array

    def free(self) -> None:
        # The array's base frees the memory when its last view goes.
        self._array = None


class _Memory:
    def __init__(self, cuda: Any, nbytes: int) -> None:  # noqa: ANN401
        self.nbytes = nbytes
        self._allocation = cuda.mem_alloc(nbytes)
        self.address = int(self._allocation)

    def free(self) -> None:
        self._allocation.free()


class _Kernels:
    def __init__(self, cuda: Any, module: Any) -> None:  # noqa: ANN401
        self._cuda = cuda
        self._module = module

    def launch(
        self,
        name: str,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[Argument],
        stream: Stream,
    ) -> None:
        assert isinstance(stream, _Stream)
        passed = [_passed(one) for one in arguments]
        with translated(self._cuda):
            self._module.get_function(name)(*passed, grid=grid, block=block, stream=stream.stream)


def _passed(argument: Argument) -> Any:  # noqa: ANN401
    """As pycuda takes it: numbers of numpy's, and a structure as the array of its bytes."""
    if isinstance(argument, bytes):
        return np.frombuffer(argument, np.uint8)
    return argument if isinstance(argument, np.int32) else np.uintp(argument)


class _Stream:
    def __init__(self, cuda: Any) -> None:  # noqa: ANN401
        self._cuda = cuda
        self.stream = cuda.Stream(1)  # CU_STREAM_NON_BLOCKING
        self.handle = int(self.stream.handle)

    def after(self, mark: Event) -> None:
        assert isinstance(mark, _Event)
        with translated(self._cuda):
            self.stream.wait_for_event(mark.event)

    def synchronise(self) -> None:
        with translated(self._cuda):
            self.stream.synchronize()

    def free(self) -> None:
        del self.stream  # pycuda destroys it with its last reference, if this thread lets go of it


class _Event:
    def __init__(self, cuda: Any) -> None:  # noqa: ANN401
        self._cuda = cuda
        # Blocking: the thread sleeps instead of spinning, which would take a core from the cameras.
        self.event = cuda.Event(cuda.event_flags.BLOCKING_SYNC | cuda.event_flags.DISABLE_TIMING)

    def record(self, stream: Stream) -> None:
        assert isinstance(stream, _Stream)
        with translated(self._cuda):
            self.event.record(stream.stream)

    def wait(self) -> None:
        with translated(self._cuda):
            self.event.synchronize()

    def free(self) -> None:
        del self.event  # as the stream


@contextmanager
def translated(cuda: Any) -> Iterator[None]:  # noqa: ANN401
    """Errors of pycuda's as `DeviceError`."""
    try:
        yield
    except cuda.MemoryError as error:
        raise DeviceError(Trouble.OUT_OF_MEMORY, str(error)) from error
    except cuda.Error as error:
        raise DeviceError(trouble_in(str(error)), str(error)) from error


def open_pycuda(library: EngineLibrary) -> PycudaDevice:
    """Opens the first GPU in this thread.

    Raises:
        ImportError: pycuda is not installed.
        DeviceError: there is no GPU, or no driver for it.
    """
    import pycuda.driver as cuda

    try:
        from cuda.bindings import driver as bindings
        from cuda.bindings import nvrtc
    except ImportError:
        bindings = nvrtc = None
    return PycudaDevice(library, cuda, bindings, nvrtc=nvrtc)
