"""TensorRT-RTX for the tests that build with it: where `[dev]` installs it, they fail without it and never skip."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from server.errors import ConflictError
from server.inference.engines.library import EngineLibrary, find_library

INSTALLED_ON = ("linux", "x86_64")
"""As pyproject.toml has it."""


def rtx(
    importer: Callable[[str], Any] = import_module, machine: tuple[str, str] = (sys.platform, platform.machine())
) -> EngineLibrary:
    """TensorRT-RTX, also where TensorRT lies beside it.

    Args:
        importer: imports a module by name.
        machine: system and processor.
    """

    def only_rtx(module: str) -> Any:
        if module != "tensorrt_rtx":
            raise ModuleNotFoundError(f"{module} needs the GPU that it builds for")
        return importer(module)

    try:
        return find_library(only_rtx)
    except ConflictError as error:
        if machine == INSTALLED_ON:
            pytest.fail(f"`make setup` installs TensorRT-RTX here, but: {error.message}")
        pytest.skip(error.message)
