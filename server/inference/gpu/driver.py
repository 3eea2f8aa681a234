"""The CUDA driver through cuda-bindings: one way to call it, with its errors sorted."""

from __future__ import annotations

from typing import Any

from server.inference.gpu.device import DeviceError, Trouble

_LOST = (
    "CUDA_ERROR_ILLEGAL_ADDRESS",
    "CUDA_ERROR_LAUNCH_FAILED",
    "CUDA_ERROR_LAUNCH_TIMEOUT",
    "CUDA_ERROR_ECC_UNCORRECTABLE",
    "CUDA_ERROR_ASSERT",
    "CUDA_ERROR_ILLEGAL_INSTRUCTION",
    "CUDA_ERROR_HARDWARE_STACK_ERROR",
    "CUDA_ERROR_MISALIGNED_ADDRESS",
    "CUDA_ERROR_INVALID_ADDRESS_SPACE",
    "CUDA_ERROR_INVALID_PC",
    "CUDA_ERROR_CONTEXT_IS_DESTROYED",
    "CUDA_ERROR_DEINITIALIZED",
    "CUDA_ERROR_DEVICE_UNAVAILABLE",
    "CUDA_ERROR_NO_DEVICE",
    "CUDA_ERROR_UNKNOWN",  # what a GPU that fell off the bus answers
)
"""Errors after which the context refuses all further work (CUDA Driver API, CUresult)."""


class Driver:
    """Calls functions of `cuda.bindings.driver` by name.

    Args:
        api: the module, or something that answers as it does.
    """

    def __init__(self, api: Any) -> None:  # noqa: ANN401 - cuda-bindings has no types
        self.api = api

    def call(self, name: str, *arguments: object) -> tuple[Any, ...]:
        """What a function answers, without its error code.

        Raises:
            DeviceError: the code is not CUDA_SUCCESS, or there is no driver.
        """
        try:
            code, *values = getattr(self.api, name)(*arguments)
        except RuntimeError as error:  # cuda-bindings look for the driver's library at the first call
            raise DeviceError(Trouble.FAILED, f"{name}: {error}") from error
        if code != self.api.CUresult.CUDA_SUCCESS:
            raise DeviceError(trouble_of(code.name), f"{name}: {code.name}")
        return tuple(values)


def trouble_of(name: str) -> Trouble:
    """What an error of CUDA's means for the runner."""
    if name == "CUDA_ERROR_OUT_OF_MEMORY":
        return Trouble.OUT_OF_MEMORY
    return Trouble.LOST if name in _LOST else Trouble.FAILED
