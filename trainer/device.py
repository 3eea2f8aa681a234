"""What computes."""

from __future__ import annotations

from collections.abc import Callable

import torch

from trainer.errors import RecipeError

DEVICES = ("cpu", "cuda", "auto")


def device_named(name: str, has_gpu: Callable[[], bool] = torch.cuda.is_available) -> torch.device:
    """The device that an option names: "cpu", "cuda", or "auto" for a GPU where there is one.

    Raises:
        RecipeError: DEVICE_UNKNOWN, or DEVICE_MISSING when torch finds no GPU.
    """
    if name not in DEVICES:
        raise RecipeError("DEVICE_UNKNOWN", f"there is no device {name!r}; choose one of {', '.join(DEVICES)}")
    present = has_gpu()
    if name == "cuda" and not present:
        raise RecipeError(
            "DEVICE_MISSING",
            f"torch {torch.__version__} finds no GPU to run on; say --device cpu, or install torch for CUDA and the "
            "GPU's driver",
        )
    return torch.device("cuda" if present and name != "cpu" else "cpu")
