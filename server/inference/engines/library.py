"""The one place that imports TensorRT: `tensorrt`, or TensorRT-RTX, the same API under another name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from server.errors import ConflictError

PORTABLE = "sm80+"
"""The target of TensorRT-RTX's engines that are made for no particular GPU: compute capability 8.0 and later."""

_MODULES = (("tensorrt", "tensorrt"), ("tensorrt_rtx", "tensorrt-rtx"))
"""Modules and what they are called in `Backend.name`, the preferred first."""


@dataclass(frozen=True, slots=True)
class EngineLibrary:
    """An imported TensorRT.

    Attributes:
        name: "tensorrt" or "tensorrt-rtx".
        version: such as "10.13.3.9".
        api: the module.
    """

    name: str
    version: str
    api: Any

    @property
    def cross_builds(self) -> bool:
        """Whether it builds for other GPUs than the one at hand, and without any."""
        return hasattr(self.api, "ComputeCapability")

    def listed(self) -> tuple[str, ...]:
        """The GPU architectures that can be named as a target, such as "sm86"; none where it can't cross-build."""
        if not self.cross_builds:
            return ()
        names = [name.lower() for name in self.api.ComputeCapability.__members__ if name.startswith("SM")]
        return tuple(sorted(names, key=number))

    def target_for(self, architecture: str | None) -> str:
        """What an engine for a GPU is built for.

        Args:
            architecture: of the GPU, such as "sm86"; None where there is none.

        Returns:
            The architecture where it can be named, `PORTABLE` where a portable engine has to do.

        Raises:
            ConflictError: ENGINE_TARGET_UNSUPPORTED, or GPU_MISSING when the library needs the GPU to build.
        """
        if not self.cross_builds:
            return self._own(architecture)
        if architecture in (None, PORTABLE):
            return PORTABLE
        assert architecture is not None
        if architecture in self.listed():
            return architecture
        if number(architecture) >= number(PORTABLE):
            return PORTABLE
        raise ConflictError(
            "ENGINE_TARGET_UNSUPPORTED",
            f"{self.name} {self.version} builds for {', '.join((*self.listed(), PORTABLE))}, not for {architecture}; "
            "choose one of these, or run on the CPU with --runtime auto",
        )

    def _own(self, architecture: str | None) -> str:
        if architecture is None or architecture == PORTABLE:
            raise ConflictError(
                "GPU_MISSING",
                f"{self.name} {self.version} builds engines only on the GPU that will run them, and none is here; "
                "build on that machine, or install tensorrt-rtx-cu13, which builds without a GPU",
            )
        return architecture


def number(architecture: str) -> int:
    """The compute capability in an architecture's name, times ten: 86 of "sm86"."""
    digits = architecture.removeprefix("sm").removesuffix("+")
    if not architecture.startswith("sm") or not digits.isdigit():
        raise ConflictError(
            "ENGINE_TARGET_UNSUPPORTED",
            f"{architecture[:50]!r} is no GPU architecture; write it like sm86 for compute capability 8.6",
        )
    return int(digits)


def find_library(importer: Callable[[str], Any] = import_module) -> EngineLibrary:
    """TensorRT, or TensorRT-RTX where only that is installed.

    Args:
        importer: imports a module by name.

    Raises:
        ConflictError: ENGINE_LIBRARY_MISSING.
    """
    problems = []
    for module, name in _MODULES:
        try:
            api = importer(module)
            return EngineLibrary(name, str(api.__version__), api)
        except Exception as error:  # noqa: BLE001 - a broken installation raises whatever its loader does
            problems.append(f"{module}: {error}")
    raise ConflictError(
        "ENGINE_LIBRARY_MISSING",
        f"TensorRT is not installed ({'; '.join(problems)}); install it with `pip install 'facestream[tensorrt]'`, or "
        "`pip install tensorrt-rtx-cu13` for TensorRT-RTX, as docs/gpu.md says, or choose a runtime on the CPU",
    )
