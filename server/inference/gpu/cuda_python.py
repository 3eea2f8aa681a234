"""A GPU through cuda-python's bindings of the CUDA driver: the stand-in for pycuda."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from server.inference.engines.library import EngineLibrary
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
from server.inference.gpu.trt import TensorRtRuntime

_NAME_BYTES = 256


class CudaPythonDevice:
    """A `Device`. Holds the GPU's primary context, which TensorRT uses as well.

    Args:
        library: loads engines.
        api: `cuda.bindings.driver`.

    Raises:
        DeviceError: there is no GPU, or no driver for it.
    """

    def __init__(self, library: EngineLibrary, api: Any, *, index: int = 0) -> None:  # noqa: ANN401
        self._driver = Driver(api)
        call = self._driver.call
        call("cuInit", 0)
        (self._device,) = call("cuDeviceGet", index)
        (name,) = call("cuDeviceGetName", _NAME_BYTES, self._device)
        self.name = name.split(b"\0")[0].decode()
        self.architecture = f"sm{self._attribute('MAJOR')}{self._attribute('MINOR')}"
        (context,) = call("cuDevicePrimaryCtxRetain", self._device)
        try:
            call("cuCtxSetCurrent", context)
            self._runtime = TensorRtRuntime(library)
        except BaseException:
            self.close()
            raise

    def free_bytes(self) -> int:
        """As `Device.free_bytes`."""
        return int(self._driver.call("cuMemGetInfo")[0])

    def pinned(self, nbytes: int) -> HostBuffer:
        """As `Device.pinned`."""
        return _Pinned(self._driver, nbytes)

    def memory(self, nbytes: int) -> DeviceBuffer:
        """As `Device.memory`."""
        return _Memory(self._driver, nbytes)

    def stream(self) -> Stream:
        """As `Device.stream`."""
        return _Stream(self._driver)

    def event(self) -> Event:
        """As `Device.event`."""
        return _Event(self._driver)

    def copy_in(self, target: DeviceBuffer, source: HostBuffer, nbytes: int, stream: Stream) -> None:
        """As `Device.copy_in`."""
        self._driver.call("cuMemcpyHtoDAsync", target.address, source.array.ctypes.data, nbytes, stream.handle)

    def copy_out(self, target: HostBuffer, source: DeviceBuffer, nbytes: int, stream: Stream) -> None:
        """As `Device.copy_out`."""
        self._driver.call("cuMemcpyDtoHAsync", target.array.ctypes.data, source.address, nbytes, stream.handle)

    def capture(self, stream: Stream, work: Callable[[], None]) -> Graph | None:
        """As `Device.capture`."""
        return capture(self._driver, stream, work)

    def load(self, plan: bytes) -> LoadedEngine:
        """As `Device.load`."""
        return self._runtime.load(plan)

    def compile(self, source: str) -> Kernels:
        """As `Device.compile`, with NVRTC."""
        from cuda.bindings import nvrtc

        return _Kernels(self._driver, compiled(nvrtc, source, self.architecture))

    def close(self) -> None:
        """Leaves the primary context."""
        self._driver.call("cuDevicePrimaryCtxRelease", self._device)

    def _attribute(self, which: str) -> int:
        attribute = getattr(self._driver.api.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_{which}")
        return int(self._driver.call("cuDeviceGetAttribute", attribute, self._device)[0])


class _Pinned:
    def __init__(self, driver: Driver, nbytes: int) -> None:
        self._driver = driver
        (address,) = driver.call("cuMemHostAlloc", nbytes, 0)
        self._address = int(address)
        memory = (ctypes.c_uint8 * nbytes).from_address(self._address)
        self.array: Bytes = np.ctypeslib.as_array(memory)

    def free(self) -> None:
        self._driver.call("cuMemFreeHost", self._address)


class _Memory:
    def __init__(self, driver: Driver, nbytes: int) -> None:
        self._driver = driver
        self.nbytes = nbytes
        self.address = int(driver.call("cuMemAlloc", nbytes)[0])

    def free(self) -> None:
        self._driver.call("cuMemFree", self.address)


class _Stream:
    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        flag = driver.api.CUstream_flags.CU_STREAM_NON_BLOCKING
        self.handle = int(driver.call("cuStreamCreate", flag)[0])

    def after(self, mark: Event) -> None:
        assert isinstance(mark, _Event)
        self._driver.call("cuStreamWaitEvent", self.handle, mark.event, 0)

    def synchronise(self) -> None:
        self._driver.call("cuStreamSynchronize", self.handle)

    def free(self) -> None:
        self._driver.call("cuStreamDestroy", self.handle)


class _Event:
    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        flags = driver.api.CUevent_flags
        # Blocking: the thread sleeps instead of spinning, which would take a core from the cameras.
        both = int(flags.CU_EVENT_BLOCKING_SYNC) | int(flags.CU_EVENT_DISABLE_TIMING)
        (self.event,) = driver.call("cuEventCreate", both)

    def record(self, stream: Stream) -> None:
        self._driver.call("cuEventRecord", self.event, stream.handle)

    def wait(self) -> None:
        self._driver.call("cuEventSynchronize", self.event)

    def free(self) -> None:
        self._driver.call("cuEventDestroy", self.event)


class _Kernels:
    def __init__(self, driver: Driver, image: bytes) -> None:
        self._driver = driver
        (self._module,) = driver.call("cuModuleLoadData", image)

    def launch(
        self,
        name: str,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[Argument],
        stream: Stream,
    ) -> None:
        (function,) = self._driver.call("cuModuleGetFunction", self._module, name.encode())
        held = [c_value(one) for one in arguments]
        pointers = np.asarray([ctypes.addressof(one) for one in held], np.uint64)
        self._driver.call("cuLaunchKernel", function, *grid, *block, 0, stream.handle, pointers.ctypes.data, 0)


def c_value(argument: Argument) -> Any:  # noqa: ANN401 - ctypes' values share no public base
    """A kernel's argument as C has it, for a launch that takes addresses of values."""
    if isinstance(argument, bytes):
        return ctypes.create_string_buffer(argument, len(argument))
    return ctypes.c_int32(int(argument)) if isinstance(argument, np.int32) else ctypes.c_uint64(argument)


def compiled(nvrtc: Any, source: str, architecture: str) -> bytes:  # noqa: ANN401
    """CUDA C++ as a cubin for an architecture.

    Raises:
        DeviceError: the compiler refuses it, with its words, or is not there.
    """
    try:
        _, program = nvrtc.nvrtcCreateProgram(source.encode(), b"kernels.cu", 0, [], [])
    except RuntimeError as error:  # cuda-bindings look for the library at the first call
        raise DeviceError(Trouble.FAILED, f"NVRTC is missing: {error}") from error
    options = [f"--gpu-architecture=sm_{architecture.removeprefix('sm')}".encode()]
    (code,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    if code != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        _, size = nvrtc.nvrtcGetProgramLogSize(program)
        log = b" " * size
        nvrtc.nvrtcGetProgramLog(program, log)
        raise DeviceError(Trouble.FAILED, f"the kernels do not compile: {log.decode(errors='replace')[:1000]}")
    _, size = nvrtc.nvrtcGetCUBINSize(program)
    image: bytes = b" " * size
    nvrtc.nvrtcGetCUBIN(program, image)
    return image


def open_cuda_python(library: EngineLibrary) -> CudaPythonDevice:
    """Opens the first GPU in this thread.

    Raises:
        ImportError: cuda-python is not installed.
        DeviceError: there is no GPU, or no driver for it.
    """
    from cuda.bindings import driver

    try:
        return CudaPythonDevice(library, driver)
    except DeviceError:
        raise
    except Exception as error:  # without a driver each version raises something else
        raise DeviceError(Trouble.LOST, str(error)) from error
