"""Which errors of CUDA's mean that the device is lost, by code and by the words that libraries pass on."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from server.inference.gpu.device import Trouble

LOST: Mapping[str, str] = MappingProxyType(
    {
        "CUDA_ERROR_ILLEGAL_ADDRESS": "an illegal memory access was encountered",
        "CUDA_ERROR_LAUNCH_FAILED": "unspecified launch failure",
        "CUDA_ERROR_LAUNCH_TIMEOUT": "the launch timed out and was terminated",
        "CUDA_ERROR_ECC_UNCORRECTABLE": "uncorrectable ECC error encountered",
        "CUDA_ERROR_NVLINK_UNCORRECTABLE": "uncorrectable NVLink error detected during the execution",
        "CUDA_ERROR_CONTAINED": "Invalid access of peer GPU memory over nvlink or a hardware error",
        "CUDA_ERROR_ASSERT": "device-side assert triggered",
        "CUDA_ERROR_ILLEGAL_INSTRUCTION": "an illegal instruction was encountered",
        "CUDA_ERROR_HARDWARE_STACK_ERROR": "hardware stack error",
        "CUDA_ERROR_MISALIGNED_ADDRESS": "misaligned address",
        "CUDA_ERROR_INVALID_ADDRESS_SPACE": "operation not supported on global/shared address space",
        "CUDA_ERROR_INVALID_PC": "invalid program counter",
        "CUDA_ERROR_TENSOR_MEMORY_LEAK": "tensor memory not completely freed",
        "CUDA_ERROR_CONTEXT_IS_DESTROYED": "context is destroyed",
        "CUDA_ERROR_DEINITIALIZED": "driver shutting down",
        "CUDA_ERROR_DEVICE_UNAVAILABLE": "CUDA-capable device(s) is/are busy or unavailable",
        "CUDA_ERROR_NO_DEVICE": "no CUDA-capable device is detected",
        "CUDA_ERROR_EXTERNAL_DEVICE": "an async error has occured in external entity outside of CUDA",
        "CUDA_ERROR_MPS_CLIENT_TERMINATED": "the MPS client has been terminated by the server",
        "CUDA_ERROR_UNKNOWN": "unknown error",  # what a GPU that fell off the bus answers
    }
)
"""Errors after which the context refuses all further work (CUDA Driver API, CUresult), and those of a device or driver
that is gone, with NVIDIA's words for them."""

_OUT_OF_MEMORY = ("out of memory", "outofmemory", "cudaerror 2:")


def trouble_of(code: str) -> Trouble:
    """What an error of CUDA's means for the runner, by the name of its code."""
    if code == "CUDA_ERROR_OUT_OF_MEMORY":
        return Trouble.OUT_OF_MEMORY
    return Trouble.LOST if code in LOST else Trouble.FAILED


def trouble_in(message: str) -> Trouble:
    """What an error means for the runner, by what a library says of it; pycuda and TensorRT tell no code."""
    lowered = message.lower()
    if any(sign in lowered for sign in _OUT_OF_MEMORY):
        return Trouble.OUT_OF_MEMORY
    return Trouble.LOST if any(words.lower() in lowered for words in LOST.values()) else Trouble.FAILED
