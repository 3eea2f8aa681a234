"""Whether an engine for GPUs can be built here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from demo.commands import shown


@dataclass(frozen=True, slots=True)
class EngineOrder:
    """What `facestream-train export` is told about engines.

    Attributes:
        flags: its options; none where no engine can be built.
        why_not: why none can; "" where one can.
    """

    flags: tuple[str, ...]
    why_not: str = ""


def engine_order(folder: Path, find: Callable[[str], object] = find_spec) -> EngineOrder:
    """Orders a float16 engine where TensorRT-RTX is installed, which builds without a GPU.

    Args:
        folder: the engine cache.
        find: answers None for modules that are not installed.
    """
    if find("tensorrt") is not None:  # preferred to TensorRT-RTX by whoever builds
        return EngineOrder((), "TensorRT is installed, which builds only on the GPU that will run the engine")
    if find("tensorrt_rtx") is None:
        return EngineOrder((), "TensorRT-RTX is not installed; `make setup` brings it on Linux x86-64")
    return EngineOrder(("--engine", "f16", "--engines-dir", shown(folder)))
