"""Shape profiles: the batches that an engine takes, and those it is tuned for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from server.defaults import DETECT_SIDE, MAX_BATCH
from server.inference.parts import Input

Shape = tuple[int, int, int, int]
"""(N, 3, H, W)."""


@dataclass(frozen=True, slots=True)
class ShapeProfile:
    """A box of shapes and the one in it that comes most often.

    Attributes:
        smallest: every dimension is at least this.
        typical: the engine is fastest for this one.
        largest: every dimension is at most this.
    """

    smallest: Shape
    typical: Shape
    largest: Shape

    def takes(self, shape: Sequence[int]) -> bool:
        """Whether a batch of this shape fits."""
        bounds = zip(self.smallest, shape, self.largest, strict=True)
        return all(low <= side <= high for low, side, high in bounds)

    @property
    def max_batch(self) -> int:
        """The longest batch."""
        return self.largest[0]


@dataclass(frozen=True, slots=True)
class Workload:
    """What an engine is built for; without arguments, what a server with default settings runs.

    Attributes:
        crops: crops or face windows in a typical batch; the largest batch where that is smaller.
        max_crops: in the largest batch.
        frames: whole frames in a typical batch; the largest batch where that is smaller.
        max_frames: in the largest batch.
        frame_side: longest side of a frame that a detector sees, pixels.
        window_side: side of the windows in which landmarks are placed anew, pixels.
    """

    crops: int = 16
    max_crops: int = MAX_BATCH
    frames: int = 4
    max_frames: int = 16
    frame_side: int = DETECT_SIDE
    window_side: int = 128


def workload_for(*, detect_side: int = DETECT_SIDE, max_batch: int = MAX_BATCH) -> Workload:
    """The workload of a server with these settings."""
    return Workload(
        crops=min(16, max_batch),
        max_crops=max_batch,
        frames=min(4, max_batch),
        max_frames=min(16, max_batch),
        frame_side=detect_side,
    )


def profiles_for(wanted: Input, workload: Workload) -> tuple[ShapeProfile, ...]:
    """The profiles of a network, in the order in which they are tried.

    A network of one size gets one profile for single crops and one for batches. A network of any size, which is a
    detector, gets one for the windows of the landmarker, one for each size that cameras' frames come in after
    letterboxing (16:9, 4:3, upright 9:16 and square), and a last one for everything else up to `Workload.frame_side`.
    """
    if wanted.width is not None and wanted.height is not None:
        size = (wanted.height, wanted.width)
        return _fixed(size, 1, 1), _fixed(size, workload.crops, workload.max_crops)
    multiple = wanted.size_multiple
    window = rounded_up(workload.window_side, multiple)
    side = rounded_up(workload.frame_side, multiple)
    frames = [_fixed(size, workload.frames, workload.max_frames) for size in frame_sizes(workload, multiple)]
    anything = ShapeProfile(
        (1, 3, multiple, multiple),
        (min(workload.frames, workload.max_frames), 3, side, side),
        (workload.max_frames, 3, side, side),
    )
    return (_fixed((window, window), workload.crops, workload.max_crops), *frames, anything)


def frame_sizes(workload: Workload, multiple: int) -> tuple[tuple[int, int], ...]:
    """(height, width) of letterboxed frames of the usual cameras, multiples of `multiple`."""
    side = workload.frame_side
    wide, classic = rounded_up(round(side * 9 / 16), multiple), rounded_up(round(side * 3 / 4), multiple)
    longest = rounded_up(side, multiple)
    return (wide, longest), (classic, longest), (longest, wide), (longest, longest)


def _fixed(size: tuple[int, int], typical: int, largest: int) -> ShapeProfile:
    height, width = size
    return ShapeProfile((1, 3, height, width), (min(typical, largest), 3, height, width), (largest, 3, height, width))


def rounded_up(side: int, multiple: int) -> int:
    """The least multiple that is not below a side, pixels."""
    return -(-side // multiple) * multiple
