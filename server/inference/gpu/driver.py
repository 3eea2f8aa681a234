"""The CUDA driver through cuda-bindings: one way to call it, with its errors sorted."""

from __future__ import annotations

from typing import Any

from server.inference.gpu.device import DeviceError, Trouble
from server.inference.gpu.loss import trouble_of


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
