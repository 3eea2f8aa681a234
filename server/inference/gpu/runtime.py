"""Models on the GPU of this machine: their engines found or built, loaded, and held to the reference."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from server.errors import ConflictError, ModelError
from server.inference.backend import Backend
from server.inference.engines.builder import TensorRtBuilder
from server.inference.engines.key import EngineKey
from server.inference.engines.library import find_library
from server.inference.engines.manager import EngineManager
from server.inference.engines.profiles import Workload
from server.inference.engines.progress import Progress
from server.inference.engines.store import EngineStore
from server.inference.gpu.backend import GpuBackend
from server.inference.gpu.open import open_gpu
from server.inference.gpu.worker import GpuWorker
from server.inference.manifest import Manifest
from server.inference.parity import Gate, answers, judge
from server.inference.precision import Precision

ENGINES_DIR = Path("engines")
"""Where engines are kept unless it is said otherwise."""

_log = logging.getLogger(__name__)


class Gpu:
    """The GPU that all networks of a process share.

    Args:
        manager: finds and builds engines.
        worker: owns the device.
    """

    def __init__(self, manager: EngineManager, worker: GpuWorker) -> None:
        self.worker = worker
        self.manager = manager

    @staticmethod
    def open(engines_dir: Path, workload: Workload) -> Gpu:
        """The GPU of this machine.

        Raises:
            ConflictError: ENGINE_LIBRARY_MISSING, CUDA_LIBRARY_MISSING, GPU_MISSING, ENGINE_LIBRARY_UNFIT.
            ModelError: ENGINES_UNUSABLE, ENGINE_KEY_UNSAFE.
        """
        library = find_library()
        worker = GpuWorker(lambda: open_gpu(library))
        try:
            store = EngineStore(engines_dir)
        except BaseException:
            worker.close()
            raise
        _log.info("GPU %s", worker.device_name, extra={"architecture": worker.architecture, "library": library.name})
        return Gpu(EngineManager(TensorRtBuilder(library), store, workload), worker)

    def wanted(self, manifest: Manifest, precision: Precision) -> str:
        """What the backend of a model will be called.

        Raises:
            ConflictError: there are no engines for this GPU.
        """
        key = self.manager.key(manifest, precision, self.worker.architecture)
        return f"{key.library}-{key.target}-{key.precision.value}"

    def backend(
        self, manifest: Manifest, weights: bytes, precision: Precision, *, gate: Gate, progress: Progress
    ) -> tuple[Backend, str]:
        """A model on the GPU once it answers as the reference does, and what the gate found.

        Args:
            manifest: of the model.
            weights: its ONNX file, already verified.
            precision: what the engine computes in.
            gate: compares it with ONNX Runtime in float32.
            progress: told what is being done.

        Raises:
            ModelError: ENGINE_NOT_BUILT, ENGINE_UNLIKE with the numbers, and what `EngineManager.obtain` raises.
            InferenceError: ENGINE_NOT_LOADED, DEVICE_LOST.
            ConflictError: there are no engines for this GPU.
            CalledOffError: it isn't wanted any more.
        """
        key = self.manager.key(manifest, precision, self.worker.architecture)
        engine = self.manager.obtain(manifest, weights, key, progress=progress)
        candidate = GpuBackend(manifest, engine, self.worker)
        try:
            progress(f"{manifest.model}: comparing with the reference")
            finding = hold_to_reference(manifest, weights, candidate, precision, gate, progress)
        except BaseException:
            candidate.close()
            raise
        return candidate, finding

    def unjudged(self, manifest: Manifest, weights: bytes, key: EngineKey) -> Backend:
        """A model on the GPU that nobody compares with anything: for measurements.

        Raises:
            ModelError: what `EngineManager.obtain` raises.
            InferenceError: ENGINE_NOT_LOADED, DEVICE_LOST.
        """
        engine = self.manager.obtain(manifest, weights, key, progress=Progress())
        return GpuBackend(manifest, engine, self.worker)

    def close(self) -> None:
        """Leaves the GPU, after its networks were closed."""
        self.worker.close()


def own_architecture() -> str | None:
    """The architecture of this machine's GPU; None when there is none that can be used."""
    library = find_library()
    try:
        worker = GpuWorker(lambda: open_gpu(library))
    except ConflictError:
        return None
    worker.close()
    return worker.architecture


class OwnGpuBackend(GpuBackend):
    """A backend that has the device for itself and leaves it when it is closed."""

    def close(self) -> None:
        """Gives the device back."""
        super().close()
        self._worker.close()


def open_alone(manifest: Manifest, weights: bytes, precision: Precision, *, engines_dir: Path = ENGINES_DIR) -> Backend:
    """A single model on the GPU, its engine built first where there is none; nobody has compared it with anything.

    Raises:
        ConflictError: ENGINE_LIBRARY_MISSING, CUDA_LIBRARY_MISSING, GPU_MISSING, ENGINE_LIBRARY_UNFIT.
        ModelError: what `EngineManager.obtain` raises.
        InferenceError: ENGINE_NOT_LOADED.
    """
    gpu = Gpu.open(engines_dir, Workload())
    try:
        key = gpu.manager.key(manifest, precision, gpu.worker.architecture)
        engine = gpu.manager.obtain(manifest, weights, key, progress=Progress(lambda step: _log.info("%s", step)))
        return OwnGpuBackend(manifest, engine, gpu.worker)
    except BaseException:
        gpu.close()
        raise


def hold_to_reference(
    manifest: Manifest, weights: bytes, candidate: Backend, precision: Precision, gate: Gate, progress: Progress
) -> str:
    """What the gate found, when it passes the candidate.

    Raises:
        ModelError: ENGINE_UNLIKE with the numbers.
        InferenceError: the reference fails.
        CalledOffError: it isn't wanted any more.
    """
    from server.inference.onnx import OnnxBackend

    reference = OnnxBackend(manifest, weights, threads=1)
    started = time.monotonic()
    try:
        verdict = judge(gate, answers(gate, reference, progress.go_on), candidate, precision, progress.go_on)
    finally:
        reference.close()
    _log.info(
        "parity of %s on %s",
        manifest.model,
        candidate.name,
        extra={"finding": verdict.finding, "passed": verdict.passed, "seconds": round(time.monotonic() - started, 2)},
    )
    if not verdict.passed:
        raise ModelError(
            "ENGINE_UNLIKE",
            f"{manifest.model} on {candidate.name} does not answer as the reference does: {verdict.finding}. It is not "
            "used; choose --runtime tensorrt (float32), or a runtime on the CPU",
        )
    return verdict.finding
