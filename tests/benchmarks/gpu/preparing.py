"""What preparing pictures on the GPU costs and saves: bytes that go up, frames a second, distance from the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from server.domain import Image
from server.inference.backend import Backend
from server.inference.cuts import Batch, Cuts, as_tensor
from server.inference.gpu.worker import GpuWorker
from server.inference.manifest import Manifest
from server.pipeline.preprocess import CpuPreprocessor, GpuPreprocessor, Preprocessor
from server.vision.decode import ImageLimits, decode_for
from server.vision.preprocess import letterbox_for
from tests.benchmarks.gpu.cameras import frame
from tests.benchmarks.gpu.measure import throughput

SIDE = 640


@dataclass(frozen=True, slots=True)
class Preparing:
    """A way to a detector's input, from a decoded frame to its outputs.

    Attributes:
        on: where the input is made.
        frames_per_s: with several callers.
        bytes_up: for each frame.
        levels: mean difference from the CPU's input, grey levels.
    """

    on: str
    frames_per_s: float
    bytes_up: int
    levels: float


def preparing(worker: GpuWorker, backend: Backend, manifest: Manifest, *, seconds: float) -> list[Preparing]:
    """Both ways, on a frame that is decoded whole and on one that is decoded at half its size."""
    found = []
    for side, name in ((2**31, "whole"), (SIDE, "reduced")):
        pixels = decode_for(frame(), ImageLimits(), longest_side=side).pixels
        for way, preprocessor in (("CPU", CpuPreprocessor()), ("GPU", GpuPreprocessor(lambda: True, worker.holds))):
            work = partial(_answered, preprocessor, backend, manifest, pixels)
            batch = work()
            found.append(
                Preparing(
                    f"{way}, frame decoded {name}, {pixels.shape[1]}x{pixels.shape[0]}",
                    throughput(work, 1, seconds=seconds),
                    pixels.nbytes if isinstance(batch, Cuts) else batch.nbytes,
                    _levels(worker, batch),
                )
            )
    return found


def _answered(preprocessor: Preprocessor, backend: Backend, manifest: Manifest, pixels: Image) -> Batch:
    """A frame's input, after the network has answered it."""
    box = letterbox_for(pixels, longest_side=SIDE, multiple=manifest.input.size_multiple)
    # A picture of its own each time, as a camera sends them; the same one would be uploaded once.
    batch = preprocessor.letterboxed(pixels.view(), box, manifest.pixels())
    backend.run(batch)
    return batch


def _levels(worker: GpuWorker, batch: Batch) -> float:
    if not isinstance(batch, Cuts):
        return 0.0
    apart = np.abs(worker.make(batch) - as_tensor(batch)) * np.reshape(batch.pixels.std, (3, 1, 1))
    return float(apart.mean())
