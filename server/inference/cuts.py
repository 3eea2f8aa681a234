"""Batches that are not made yet: pictures, and where in them each row lies.

A backend whose device has memory of its own uploads each picture once, as bytes, and makes the rows there; every other
one makes them on the CPU, in the way that the rows bring along. So a batch can change from one to the other on its way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from server.domain import Image, PixelSpec

SAMPLING_VALUES = 12
"""Values in a row that says how a crop is sampled; kernels.cu names them."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """Where a picture lies in a detector's input.

    Attributes:
        width: of the input, pixels.
        height: of the input, pixels.
        inner_width: of the shrunk picture in its top left corner, pixels.
        inner_height: of the shrunk picture, pixels.
        grid: (width, height) of the picture when it was halved as often as it goes (`server.vision.preprocess.halved`).
    """

    width: int
    height: int
    inner_width: int
    inner_height: int
    grid: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Warp:
    """How a crop is sampled from a picture.

    Attributes:
        row: (12,) float32 (`server.vision.align.sampling_rows`).
    """

    row: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """One row of a batch.

    Attributes:
        picture: (H, W, 3) uint8 BGR. Devices know it again by its identity, so it is never written to.
        place: where in it the row lies.
        draw: makes the row's pixels, (h, w, 3) uint8 BGR, on the CPU.
    """

    picture: Image
    place: Canvas | Warp
    draw: Callable[[], Image]


@dataclass(frozen=True, slots=True, eq=False)
class Cuts:
    """A batch that is not made yet. Cut up and joined as arrays are.

    Attributes:
        rows: N cuts, N >= 1.
        size: (width, height) of a row, pixels.
        pixels: how values become the network's.
        to_tensor: N pictures (height, width, 3) uint8 BGR as (N, 3, height, width) float32, on the CPU.
    """

    rows: tuple[Cut, ...]
    size: tuple[int, int]
    pixels: PixelSpec
    to_tensor: Callable[[Sequence[Image]], NDArray[np.float32]]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the batch: (N, 3, height, width)."""
        return len(self.rows), 3, self.size[1], self.size[0]

    def __len__(self) -> int:
        """N."""
        return len(self.rows)

    def __getitem__(self, which: slice) -> Cuts:
        """Some of the rows."""
        return replace(self, rows=self.rows[which])

    def tensor(self) -> NDArray[np.float32]:
        """The batch, made on the CPU: (N, 3, height, width) float32."""
        return self.to_tensor([cut.draw() for cut in self.rows])


Batch: TypeAlias = NDArray[np.float32] | Cuts
"""What a network takes: (N, 3, H, W) float32, or the same before it is made."""


def as_tensor(batch: Batch) -> NDArray[np.float32]:
    """A batch as (N, 3, H, W) float32, made on the CPU unless it is made already."""
    return batch.tensor() if isinstance(batch, Cuts) else batch


def joined(batches: Sequence[Batch]) -> Batch:
    """Batches of one network and one size as one, in their order; made only where some of them are made already.

    Args:
        batches: one or more, for the same network.
    """
    if len(batches) == 1:
        return batches[0]
    cuts = [batch for batch in batches if isinstance(batch, Cuts)]
    if len(cuts) == len(batches):
        return replace(cuts[0], rows=tuple(row for each in cuts for row in each.rows))
    return np.concatenate([as_tensor(batch) for batch in batches])
