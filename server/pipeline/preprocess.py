"""Pictures to networks' inputs: made at once on the CPU, or left to be made by a GPU that has the picture anyway."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from server.domain import AlignmentTemplate, Image, PixelSpec
from server.inference.cuts import Batch, Canvas, Cut, Cuts, Warp
from server.vision.align import sampling_rows, similarities, warp
from server.vision.preprocess import Letterbox, fit, halved, inner_size, to_tensor
from server.vision.refine import cut


class Preprocessor(Protocol):
    """Makes networks' inputs of pictures.

    The contract, which tests/conformance/test_preprocessor.py holds every implementation to: what a backend makes of
    the batch lies within one grey level, on average, of what the CPU makes, and embeddings keep a cosine of 0.999.
    Pictures are (H, W, 3) uint8 BGR and are never written to afterwards. Several threads may call at once.
    """

    def letterboxed(self, image: Image, box: Letterbox, pixels: PixelSpec) -> Batch:
        """The picture as a detector's input: (1, 3, box.height, box.width)."""
        ...

    def windows(self, image: Image, matrices: NDArray[np.float64], side: int, pixels: PixelSpec) -> Batch:
        """Windows of a picture: (N, 3, side, side).

        Args:
            image: the picture.
            matrices: (N, 2, 3), N >= 1, from picture to window.
            side: of a window, pixels.
            pixels: the network's wish.
        """
        ...

    def crops(self, crops: NDArray[np.uint8], of: Aligned, pixels: PixelSpec) -> Batch:
        """Aligned crops as an embedder's input: (N, 3, H, W).

        Args:
            crops: (N, H, W, 3) uint8 BGR, N >= 1, as they were cut on the CPU.
            of: where they were cut from.
            pixels: the network's wish.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Aligned:
    """Where crops come from.

    Attributes:
        image: the picture.
        landmarks: (N, 5, 2) float32, pixels of the picture.
        template: where alignment laid the landmarks.
    """

    image: Image
    landmarks: NDArray[np.float32]
    template: AlignmentTemplate


class CpuPreprocessor:
    """Makes the inputs at once."""

    def letterboxed(self, image: Image, box: Letterbox, pixels: PixelSpec) -> Batch:
        """As `Preprocessor.letterboxed`."""
        return to_tensor([fit(image, box)], pixels)

    def windows(self, image: Image, matrices: NDArray[np.float64], side: int, pixels: PixelSpec) -> Batch:
        """As `Preprocessor.windows`."""
        return to_tensor(cut(image, matrices, side=side), pixels)

    def crops(self, crops: NDArray[np.uint8], of: Aligned, pixels: PixelSpec) -> Batch:
        """As `Preprocessor.crops`."""
        del of
        return to_tensor(crops, pixels)


@dataclass(frozen=True, slots=True)
class GpuPreprocessor:
    """Leaves the making to a backend on a GPU; to the CPU while none is there.

    A batch that was left to the GPU and then runs on the CPU, because the GPU was lost on the way, is made there.

    What costs fewer bytes is uploaded: a whole picture for a detector; for windows and crops the picture if it lies on
    the GPU already or is no larger than they are, and otherwise the windows and crops themselves, cut on the CPU.

    Attributes:
        ready: whether the network runs on the GPU now, and can make batches there.
        holds: whether a picture lies on the GPU.
        cpu: makes batches while it is not ready.
    """

    ready: Callable[[], bool]
    holds: Callable[[Image], bool]
    cpu: CpuPreprocessor = field(default_factory=CpuPreprocessor)

    def letterboxed(self, image: Image, box: Letterbox, pixels: PixelSpec) -> Batch:
        """As `Preprocessor.letterboxed`."""
        if not self.ready():
            return self.cpu.letterboxed(image, box, pixels)
        size = (image.shape[1], image.shape[0])
        inner = inner_size(size, box)
        canvas = Canvas(box.width, box.height, *inner, halved(size, inner))
        row = Cut(image, canvas, partial(fit, image, box))
        return Cuts((row,), (box.width, box.height), pixels, partial(to_tensor, pixels=pixels))

    def windows(self, image: Image, matrices: NDArray[np.float64], side: int, pixels: PixelSpec) -> Batch:
        """As `Preprocessor.windows`."""
        if not self.ready():
            return self.cpu.windows(image, matrices, side, pixels)
        if self._worth_sending(image, len(matrices) * side * side * 3):
            return _warped(image, matrices, (side, side), pixels)
        return _stacked(cut(image, matrices, side=side), pixels)

    def crops(self, crops: NDArray[np.uint8], of: Aligned, pixels: PixelSpec) -> Batch:
        """As `Preprocessor.crops`."""
        if not self.ready():
            return self.cpu.crops(crops, of, pixels)
        if self._worth_sending(of.image, crops.nbytes):
            size = (of.template.width, of.template.height)
            return _warped(of.image, similarities(of.landmarks, of.template), size, pixels)
        return _stacked(crops, pixels)

    def _worth_sending(self, image: Image, otherwise: int) -> bool:
        return self.holds(image) or image.nbytes <= otherwise


def _warped(image: Image, matrices: NDArray[np.float64], size: tuple[int, int], pixels: PixelSpec) -> Cuts:
    """Rows cut from one picture, each by its (2, 3) matrix; `size` is (width, height)."""
    rows = sampling_rows(image.shape[:2], list(matrices), size[::-1])
    cuts = (
        Cut(image, Warp(row), partial(_drawn, image, matrix, size)) for row, matrix in zip(rows, matrices, strict=True)
    )
    return Cuts(tuple(cuts), size, pixels, partial(to_tensor, pixels=pixels))


def _drawn(image: Image, matrix: NDArray[np.float64], size: tuple[int, int]) -> Image:
    crop = np.zeros((size[1], size[0], 3), np.uint8)
    warp(image, matrix, crop)
    return crop


def _stacked(crops: NDArray[np.uint8], pixels: PixelSpec) -> Cuts:
    """Rows that are cut already, as one tall picture from which each is taken as it is."""
    count, height, width = crops.shape[:3]
    tall = np.ascontiguousarray(crops).reshape(count * height, width, 3)
    rows = np.zeros((count, 12), np.float32)
    rows[:, [0, 4, 8, 9]] = 1
    rows[:, 7] = np.arange(count) * height
    rows[:, 10:] = width, height
    cuts = (Cut(tall, Warp(row), partial(_itself, crop)) for row, crop in zip(rows, crops, strict=True))
    return Cuts(tuple(cuts), (width, height), pixels, partial(to_tensor, pixels=pixels))


def _itself(crop: Image) -> Image:
    return crop
