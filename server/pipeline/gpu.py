"""Models on a GPU: served on the CPU until their engines are there and answer as the reference does."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from server.errors import InferenceError
from server.inference.backend import Backend
from server.inference.engines.progress import Progress
from server.inference.gpu.runtime import Gpu
from server.inference.gpu.worker import GpuWorker
from server.inference.manifest import load_manifest, verified_weights
from server.inference.parity import Verdict
from server.inference.precision import Precision
from server.inference.standby import Fallback, StandbyBackend, Standing, Status
from server.models.probes import Role, job_of
from server.pipeline.kernel_gate import judge_kernels
from server.pipeline.preprocess import GpuPreprocessor

_log = logging.getLogger(__name__)


def _say(step: str) -> None:
    _log.info("engine: %s", step)


def _nobody(_role: Role, _status: Status) -> None:
    pass


def _makes_batches(worker: GpuWorker) -> bool:
    """Whether the GPU makes networks' inputs as the CPU does; the log says why not."""
    if not worker.makes_batches:  # said by the worker
        return False
    try:
        verdict = judge_kernels(worker.make)
    except InferenceError as error:
        verdict = Verdict(False, error.message)
    if verdict.passed:
        _log.info("pictures are prepared on the GPU: %s", verdict.finding)
    else:
        _log.error("pictures are prepared on the CPU, the GPU's kernels are refused: %s", verdict.finding)
    return verdict.passed


def _precision_of(role: Role, asked: Precision) -> Precision:
    """What a model's engine computes in: int8 is for embedders alone."""
    return Precision.FLOAT16 if asked is Precision.INT8 and role is not Role.EMBEDDER else asked


@dataclass(frozen=True, slots=True)
class GpuChoice:
    """How a GPU is used.

    Attributes:
        open: opens it; called once, when the runtime asks for a GPU.
        fallback: what happens when it is lost.
        told: of every change in what runs a model, from any thread.
    """

    open: Callable[[], Gpu]
    fallback: Fallback = Fallback.CPU
    told: Callable[[Role, Status], None] = _nobody


class GpuModels:
    """The models of a server on its GPU.

    Args:
        how: the GPU is used; it is opened here.
        precision: what engines compute in; detectors and landmarkers have no int8 and compute in float16 then.
        detect_side: longer side of the pictures that a detector gets, pixels.

    Raises:
        ConflictError: there is no GPU that can be used, or nothing that reaches it.
        ModelError: engines can't be kept.
    """

    def __init__(self, how: GpuChoice, precision: Precision, *, detect_side: int) -> None:
        self._how = how
        self._precision = precision
        self._detect_side = detect_side
        self._moved: list[StandbyBackend] = []
        self._gpu = how.open()
        self._makes_batches = _makes_batches(self._gpu.worker)

    def move(self, folder: Path, role: Role, standby: Backend) -> StandbyBackend:
        """A model that moves to the GPU by itself.

        Its engine is found or built in a thread of its own and held to ONNX Runtime in float32 on drawn faces; until
        it has passed, and if it doesn't, the standby serves, and the backend's name and `Status` say so.

        Args:
            folder: of the model.
            role: what it does.
            standby: runs the model on the CPU.

        Raises:
            ModelError: the folder is damaged.
            ConflictError: there are no engines for this GPU.
        """
        manifest = load_manifest(folder)
        weights = verified_weights(folder, manifest)
        gate = job_of(manifest, role, detect_side=self._detect_side, lanes=1).gate
        precision = _precision_of(role, self._precision)

        def prepare(unwanted: threading.Event) -> tuple[Backend, str]:
            progress = Progress(_say, unwanted)
            return self._gpu.backend(manifest, weights, precision, gate=gate, progress=progress)

        moved = StandbyBackend(
            standby,
            prepare,
            wanted=self._gpu.wanted(manifest, precision),
            fallback=self._how.fallback,
            told=lambda status: self._how.told(role, status),
        )
        self._moved.append(moved)
        return moved

    def preprocessor(self, moved: StandbyBackend) -> GpuPreprocessor:
        """Makes the inputs of a model that `move` gave: on the GPU while it runs there."""
        makes, worker = self._makes_batches, self._gpu.worker
        return GpuPreprocessor(lambda: makes and moved.status.standing is Standing.LIVE, worker.holds)

    def call_off(self) -> None:
        """Engines that are not ready yet aren't wanted any more."""
        for moved in self._moved:
            moved.call_off()

    def close(self) -> None:
        """Closes the models that moved, and leaves the GPU."""
        self.call_off()
        for moved in self._moved:
            moved.close()
        self._gpu.close()
