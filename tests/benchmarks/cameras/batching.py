"""What batches gain: faces a second at batch 8 over batch 1, through the embedder as the server loads it."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import mean

import numpy as np

from server.defaults import DETECT_SIDE
from server.inference.backend import Backend, Tensor
from server.inference.cores import Cores
from server.inference.load import Runtime, load_backend
from server.models.probes import Role
from server.models.runtimes import RuntimeChooser
from tests.benchmarks.cameras.peers import EMBEDDER
from tests.benchmarks.cameras.section import Measured, Size
from tests.benchmarks.report import Bar, Figure
from tests.server_process import MODELS

_LENGTHS = (1, 2, 4, 8, 16, 32)


def measure(size: Size) -> Measured:
    """Both ways to use the cores: a lane on each, as the server does by default, and one lane on all.

    In the runtime and precision that the server chooses for a lane on each.
    """
    cores = os.cpu_count() or 1
    chooser = RuntimeChooser(MODELS, Cores(threads=1, lanes=cores), detect_side=DETECT_SIDE)
    runtime = chooser.choose(EMBEDDER, Role.EMBEDDER).runtime
    lanes = _rates(size, runtime, threads=1, lanes=cores)
    one = _rates(size, runtime, threads=cores, lanes=1)
    return Measured(
        [
            Figure("batching: faces/s at batch 1, a lane on each core", lanes[0], "faces/s"),
            Figure("batching: faces/s at batch 8, a lane on each core", lanes[3], "faces/s"),
            Figure("batching: batch 8 over batch 1, a lane on each core", lanes[3] / lanes[0], "x", Bar.AT_LEAST, 1.3),
            Figure("batching: batch 8 over batch 1, one lane on all cores", one[3] / one[0], "x"),
        ],
        {"batch": _LENGTHS, "lanes": lanes, "one lane": one},
    )


def _rates(size: Size, runtime: Runtime, *, threads: int, lanes: int) -> list[float]:
    """Faces a second by batch length; lengths take turns."""
    _, backend = load_backend(EMBEDDER, runtime=runtime, threads=threads, lanes=lanes)
    chance = np.random.default_rng(3)
    batches = [chance.integers(0, 256, (length, 3, 112, 112)).astype(np.float32) for length in _LENGTHS]
    for batch in batches:
        _rate(backend, batch, lanes, 0.3)  # warm
    share = size.round_s / len(_LENGTHS)
    rounds = [[_rate(backend, batch, lanes, share) for batch in batches] for _ in range(size.rounds)]
    backend.close()
    return [mean(column) for column in zip(*rounds, strict=True)]


def _rate(backend: Backend, batch: Tensor, lanes: int, seconds: float) -> float:
    """Faces a second while every lane is busy."""
    began = time.perf_counter()

    def run(_: int) -> int:
        faces = 0
        while time.perf_counter() - began < seconds:
            backend.run(batch)
            faces += len(batch)
        return faces

    with ThreadPoolExecutor(lanes) as pool:
        faces = sum(pool.map(run, range(lanes)))
    return faces / (time.perf_counter() - began)
