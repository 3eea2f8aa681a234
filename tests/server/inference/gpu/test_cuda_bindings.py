"""What we call of cuda-bindings is there and takes what we give; the real library, which needs no GPU to be asked."""

from __future__ import annotations

import re

import pytest

from server.errors import ConflictError
from server.inference.engines.library import EngineLibrary
from server.inference.gpu.cuda_python import compiled, open_cuda_python
from server.inference.gpu.device import DeviceError
from server.inference.gpu.open import open_gpu
from tests.gpu import gpu_is_there

driver = pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")
nvrtc = pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-bindings is not installed")

CALLS = {
    "cuInit": 1, "cuDeviceGet": 1, "cuDeviceGetName": 2, "cuDeviceGetAttribute": 2, "cuDevicePrimaryCtxRetain": 1,
    "cuDevicePrimaryCtxRelease": 1, "cuCtxSetCurrent": 1, "cuMemGetInfo": 0, "cuMemHostAlloc": 2, "cuMemFreeHost": 1,
    "cuMemAlloc": 1, "cuMemFree": 1, "cuMemcpyHtoDAsync": 4, "cuMemcpyDtoHAsync": 4, "cuStreamCreate": 1,
    "cuStreamSynchronize": 1, "cuStreamWaitEvent": 3, "cuEventCreate": 1, "cuEventRecord": 2, "cuEventSynchronize": 1,
    "cuModuleLoadData": 1, "cuModuleGetFunction": 2, "cuLaunchKernel": 11, "cuStreamBeginCapture": 2,
    "cuStreamEndCapture": 1, "cuGraphInstantiate": 2, "cuGraphDestroy": 1, "cuGraphLaunch": 2, "cuGraphExecDestroy": 1,
}  # fmt: skip
"""Functions of the driver, and with how many arguments we call them."""

NVRTC_CALLS = {
    "nvrtcCreateProgram": 5, "nvrtcCompileProgram": 3, "nvrtcGetProgramLogSize": 1, "nvrtcGetProgramLog": 2,
    "nvrtcGetCUBINSize": 1, "nvrtcGetCUBIN": 2,
}  # fmt: skip


def parameters(function):
    """How many parameters the first line of a function's documentation names."""
    inside = re.search(r"\((.*)\)", function.__doc__.splitlines()[0]).group(1)
    return len(re.sub(r"\[[^][]*(\[[^][]*\][^][]*)*\]", "", inside).split(",")) if inside else 0


@pytest.mark.parametrize(("name", "count"), CALLS.items())
def test_functions_of_the_driver_take_as_many_arguments_as_we_give(name, count):
    assert parameters(getattr(driver, name)) == count


@pytest.mark.parametrize(("name", "count"), NVRTC_CALLS.items())
def test_functions_of_nvrtc_take_as_many_arguments_as_we_give(name, count):
    assert parameters(getattr(nvrtc, name)) == count


def test_the_constants_that_we_use_are_there():
    assert driver.CUresult.CUDA_SUCCESS == 0
    assert driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY.name == "CUDA_ERROR_OUT_OF_MEMORY"
    assert driver.CUstream_flags.CU_STREAM_NON_BLOCKING == 1
    assert int(driver.CUevent_flags.CU_EVENT_BLOCKING_SYNC) | int(driver.CUevent_flags.CU_EVENT_DISABLE_TIMING) == 3
    assert driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
    assert driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
    assert driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR
    assert nvrtc.nvrtcResult.NVRTC_SUCCESS == 0


def test_handles_become_numbers_and_numbers_handles():
    assert int(driver.CUstream(7)) == 7
    assert int(driver.CUdeviceptr(7)) == 7


@pytest.mark.skipif(gpu_is_there(), reason="there is a GPU")
def test_without_a_driver_there_is_no_gpu_and_the_error_says_what_to_look_at():
    library = EngineLibrary("tensorrt", "0", None)
    with pytest.raises(ConflictError, match=r"cuInit: .*nvidia-smi") as caught:
        open_gpu(library, {"cuda-python": open_cuda_python})
    assert caught.value.reason == "GPU_MISSING"


def test_kernels_are_compiled_by_the_real_compiler_or_its_absence_is_an_error_of_ours():
    from server.inference.gpu.preprocess import kernel_source

    try:
        image = compiled(nvrtc, kernel_source(), "sm80")
    except DeviceError as error:
        if "NVRTC is missing" not in error.message:
            raise
    else:
        assert image[:4] == b"\x7fELF"
