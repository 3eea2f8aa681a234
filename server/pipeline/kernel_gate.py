"""Before a GPU makes networks' inputs, what it makes of a picture is compared with what the CPU makes of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from server.domain import ColourOrder, PixelSpec
from server.inference.backend import Tensor
from server.inference.cuts import Batch, Cuts
from server.inference.parity import Verdict
from server.pipeline.preprocess import GpuPreprocessor
from server.vision.portrait import draw_crowd
from server.vision.preprocess import letterbox_for

MOST_LEVELS = 1.0
"""Grey levels by which an input may differ from the CPU's, on average."""

_PIXELS = PixelSpec(ColourOrder.RGB, (127.5, 120.0, 110.0), (1.0, 1.0, 1.0))
_SIDES = (96, 250, 320)
"""Of the letterboxes, pixels: the picture is halved twice, halved not quite once, and left as it is."""

_SCALES = (0.2, 0.7, 2.5)
"""Of the windows: shrunk by averaging, shrunk a little, enlarged."""


def judge_kernels(make: Callable[[Cuts], Tensor]) -> Verdict:
    """Whether a device makes what the CPU makes, of a drawn picture: letterboxed, and cut at several scales and turns.

    Args:
        make: makes a batch on the device.

    Raises:
        InferenceError: it can't.
    """
    image = draw_crowd(range(4), columns=2, side=160)
    gpu = GpuPreprocessor(lambda: True, lambda _image: True)
    boxes = (letterbox_for(image, longest_side=side, multiple=32) for side in _SIDES)
    batches: list[Batch] = [gpu.letterboxed(image, box, _PIXELS) for box in boxes]
    batches.append(gpu.windows(image, np.asarray([_turned(scale) for scale in _SCALES]), 112, _PIXELS))
    levels = max(float(np.abs(make(cuts) - cuts.tensor()).mean()) for cuts in batches if isinstance(cuts, Cuts))
    # Written so that a NaN does not pass.
    return Verdict(levels <= MOST_LEVELS, f"inputs within {levels:.2g} grey levels, at most {MOST_LEVELS:g}")


def _turned(scale: float) -> NDArray[np.float64]:
    """From the picture to a window whose middle shows its middle, turned by a third of a radian."""
    across, down = scale * np.cos(0.3), scale * np.sin(0.3)
    turn = np.asarray([[across, -down], [down, across]])
    return np.concatenate([turn, np.asarray([[56.0], [56.0]]) - turn @ np.asarray([[160.0], [160.0]])], axis=1)
