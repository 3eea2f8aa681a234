"""Does the exported network answer what the trained one does."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from server.errors import ModelError
from trainer.evaluate.embed import Embed
from trainer.export.onnx import WeightType

LEAST_COSINE: Mapping[WeightType, float] = MappingProxyType({WeightType.FLOAT32: 0.9999, WeightType.FLOAT16: 0.999})
"""What an export must reach on every crop."""


def least_cosine(left: Embed, right: Embed, crops: NDArray[np.uint8]) -> float:
    """The smallest cosine between what two embedders answer for the same (N, H, W, 3) crops, N >= 1."""
    return float((left(crops).astype(np.float64) * right(crops)).sum(axis=1).min())


def require_parity(cosine: float, weights: WeightType) -> None:
    """Passes a cosine that the kind of weights can reach.

    Raises:
        ModelError: EXPORT_DIFFERS when it is less.
    """
    if not cosine >= LEAST_COSINE[weights]:
        raise ModelError(
            "EXPORT_DIFFERS",
            f"the exported {weights.value} network answers otherwise than the trained one: the smallest cosine is "
            f"{cosine:.6f}, at least {LEAST_COSINE[weights]} is wanted; nothing was written. Export as float32, or "
            "report this with the network's name",
        )
