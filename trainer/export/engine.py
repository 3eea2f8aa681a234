"""From a model folder to an engine in the server's cache, with the server's own engine manager."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from server.errors import ModelError
from server.inference.engines.builder import EngineBuilder
from server.inference.engines.manager import Engine, EngineManager
from server.inference.engines.profiles import Workload
from server.inference.engines.progress import Progress
from server.inference.engines.store import EngineStore
from server.inference.gpu.backend import GpuBackend
from server.inference.gpu.worker import GpuWorker
from server.inference.manifest import Manifest, load_manifest, verified_weights
from server.inference.onnx import OnnxBackend
from server.inference.parity import LEAST_COSINE
from server.inference.precision import Precision
from server.vision.preprocess import to_tensor
from trainer.evaluate.model_folder import of_backend
from trainer.export.parity import least_cosine


@dataclass(frozen=True, slots=True)
class EngineOrder:
    """What engine is wanted.

    Attributes:
        precision: what it computes in.
        architecture: of the GPU, such as "sm86"; None for no particular one.
        workload: shapes that it is built for.
    """

    precision: Precision
    architecture: str | None = None
    workload: Workload = Workload()  # noqa: RUF009 - frozen


def export_engine(
    folder: Path,
    order: EngineOrder,
    builder: EngineBuilder,
    store: EngineStore,
    *,
    crops: NDArray[np.uint8],
    progress: Progress | None = None,
) -> tuple[Engine, float | None]:
    """The engine of a model folder, and the smallest cosine of its network to the model on the crops.

    The network in its new precision runs on the CPU for that; the server holds the engine itself to the model before
    it uses it. There is nothing to compare in float32, whose network is the model's own, and nothing is compared when
    the engine is in the cache already: the cosine is None then.

    Args:
        folder: of the model.
        order: what engine is wanted.
        builder: compiles it.
        store: the server's, or one that will be built into anew: engines are sealed for one installation.
        crops: (N, H, W, 3) uint8 BGR, real faces; for int8 also what ranges are measured on.
        progress: told what is being done.

    Raises:
        ModelError: the folder is damaged, ENGINE_UNLIKE, ENGINE_NOT_BUILT.
        CalledOffError: it isn't wanted any more.
        InvalidInputError: PRECISION_UNSUPPORTED, CALIBRATION_TOO_SMALL.
        ConflictError: there is no building for that GPU here.
    """
    manifest = load_manifest(folder)
    weights = verified_weights(folder, manifest)
    manager = EngineManager(builder, store, order.workload)
    cosines: list[float] = []

    def check(network: bytes) -> None:
        cosines.append(_cosine(manifest, weights, network, crops))
        _require(manifest, order.precision, cosines[-1])

    engine = manager.obtain(
        manifest,
        weights,
        manager.key(manifest, order.precision, order.architecture),
        calibration=to_tensor(crops, manifest.pixels()) if order.precision is Precision.INT8 else None,
        check=None if order.precision is Precision.FLOAT32 else check,
        progress=progress or Progress(),
    )
    return engine, cosines[-1] if cosines else None


def engine_cosine(folder: Path, engine: Engine, worker: GpuWorker, *, crops: NDArray[np.uint8]) -> float:
    """The smallest cosine of an engine to its model on the crops, where the GPU that it is for is at hand.

    Args:
        folder: of the model.
        engine: as `export_engine` gave it.
        worker: owns that GPU.
        crops: (N, H, W, 3) uint8 BGR, real faces.

    Raises:
        ModelError: ENGINE_UNLIKE when it is too small, or the folder is damaged.
        InferenceError: the GPU does not take the engine, or fails.
    """
    manifest = load_manifest(folder)
    model = OnnxBackend(manifest, verified_weights(folder, manifest), threads=1)
    backend = GpuBackend(manifest, engine, worker)
    try:
        cosine = least_cosine(of_backend(manifest, model), of_backend(manifest, backend), crops)
    finally:
        backend.close()
    least = LEAST_COSINE[engine.key.precision]
    if not cosine >= least:
        raise ModelError(
            "ENGINE_UNLIKE",
            f"{engine.name} answers otherwise than {manifest.model} on {worker.device_name}: the smallest cosine is "
            f"{cosine:.6f}, at least {least} is wanted. A server will refuse it too; build it in f32",
        )
    return cosine


def _cosine(manifest: Manifest, weights: bytes, network: bytes, crops: NDArray[np.uint8]) -> float:
    model, other = (of_backend(manifest, OnnxBackend(manifest, content, threads=1)) for content in (weights, network))
    return least_cosine(model, other, crops)


def _require(manifest: Manifest, precision: Precision, cosine: float) -> None:
    least = LEAST_COSINE[precision]
    if not cosine >= least:
        raise ModelError(
            "ENGINE_UNLIKE",
            f"{manifest.model} in {precision.value} answers otherwise than in float32: the smallest cosine is "
            f"{cosine:.6f}, at least {least} is wanted. No engine was built; build it in f32",
        )
