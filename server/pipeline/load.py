"""Model folders to a set of models that is warm and ready."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from server.domain import Calibration, Faces, OperatingPoint
from server.inference.backend import Backend
from server.inference.choose import Decision
from server.inference.combine import CombiningBackend
from server.inference.cores import Cores
from server.inference.counted import CountedBackend
from server.inference.load import Runtime, load_backend
from server.inference.manifest import Kind, Manifest
from server.inference.standby import StandbyBackend
from server.models.probes import Role
from server.models.runtimes import RuntimeChooser
from server.pipeline.gpu import GpuChoice, GpuModels
from server.pipeline.preprocess import CpuPreprocessor, Preprocessor
from server.pipeline.vision import Detector, Embedder, FaceVision, Landmarker, fingerprint_of
from server.vision.detect import DetectionRule
from server.vision.quality import QualityScale

_ALIGNMENT = "similarity-5"
"""Names how crops are aligned. Change it with the pixels of the crops: old embeddings then no longer mix."""

Ran = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which models, and how they run.

    Attributes:
        models_dir: folder of NAME/VERSION folders.
        detector: NAME/VERSION.
        landmarker: NAME/VERSION of the detector that places landmarks anew; "" for none.
        embedder: NAME/VERSION.
        runtime: what runs them; AUTO lets every model have what is fastest here and passes the parity gate.
        threads: that one batch is spread over.
        lanes: batches that one network runs at once.
        max_batch: images that one network runs together at most.
        max_delay_s: how long an idle network waits for a batch to fill up.
        detect_side: longer side to which images shrink for detection, pixels.
        gpu: how a GPU is used; needed when `runtime` asks for one.
    """

    models_dir: Path
    detector: str
    landmarker: str
    embedder: str
    runtime: Runtime
    threads: int
    lanes: int
    max_batch: int
    detect_side: int
    max_delay_s: float = 0.0
    gpu: GpuChoice | None = None


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that runs.

    Attributes:
        manifest: what it is.
        backend: what runs it.
        role: what it does.
        decision: how its runtime was chosen; None when it was named by the user.
        standby: the backend beneath, where one on the CPU stands in for one on a GPU.
        preprocessor: makes its inputs.
    """

    manifest: Manifest
    backend: CombiningBackend
    role: Role
    decision: Decision | None = None
    standby: StandbyBackend | None = None
    preprocessor: Preprocessor = field(default_factory=CpuPreprocessor)

    @property
    def why(self) -> str:
        """Why this backend runs it, in words."""
        if self.standby is not None:
            return self.standby.status.why
        return "named in the settings" if self.decision is None else self.decision.why


@dataclass(frozen=True, slots=True)
class LoadedVision:
    """The models of a server.

    Attributes:
        vision: ready to use.
        operating_points: of the embedder; none when they were never measured.
        calibration: of the embedder; None when it was never fitted.
        models: all of them, for information and for closing.
        gpu: what they run on; None when they run on the CPU.
    """

    vision: FaceVision
    operating_points: tuple[OperatingPoint, ...]
    calibration: Calibration | None
    models: tuple[LoadedModel, ...]
    gpu: GpuModels | None = None

    def close(self) -> None:
        """Releases the networks, then the GPU."""
        if self.gpu is not None:
            self.gpu.call_off()  # of all models at once: each then waits for its end
        for model in self.models:
            model.backend.close()
        if self.gpu is not None:
            self.gpu.close()


def _uncounted(network: str, images: int, spent_ns: int) -> None:
    """Nobody wants to know."""


def load_vision(choice: ModelChoice, *, say: Callable[[str], None], ran: Ran = _uncounted) -> LoadedVision:
    """Loads and warms the models.

    Args:
        choice: which and how.
        say: told of each model that is ready.
        ran: told of each batch: the network (detector, landmarker, embedder), images, nanoseconds; by any thread.

    Raises:
        ModelError: a model is missing, damaged or of the wrong kind.
        ConflictError: the runtime can't be had on this machine.
    """
    gpu = None
    if choice.gpu is not None and choice.runtime.on_gpu:
        gpu = GpuModels(choice.gpu, choice.runtime.precision, detect_side=choice.detect_side)
    try:
        return _load_all(choice, partial(_load, choice, gpu, ran), gpu, say)
    except BaseException:
        if gpu is not None:
            gpu.close()
        raise


def _load_all(
    choice: ModelChoice,
    load: Callable[[str, Role, Decision | None], LoadedModel],
    gpu: GpuModels | None,
    say: Callable[[str], None],
) -> LoadedVision:
    wanted = {Role.DETECTOR: choice.detector, Role.EMBEDDER: choice.embedder, Role.LANDMARKER: choice.landmarker}
    # All before any moves to the GPU: the building of an engine would be in what is measured here, and remembered.
    decided = {role: _decide(choice, name, role) for role, name in wanted.items() if name}
    loaded = {role: load(wanted[role], role, decision) for role, decision in decided.items()}
    detector, embedder, landmarker = loaded[Role.DETECTOR], loaded[Role.EMBEDDER], loaded.get(Role.LANDMARKER)
    models = tuple(model for model in (detector, landmarker, embedder) if model is not None)
    for model in models:
        say(f"{model.role.value} {model.manifest.model} on {model.backend.name}: {model.why}")
    vision = FaceVision(
        detector=detector_of(detector, choice.detect_side),
        landmarker=landmarker_of(landmarker) if landmarker else None,
        embedder=embedder_of(embedder.manifest, embedder.backend, embedder.preprocessor),
        refresher=embedder_of(embedder.manifest, embedder.backend.patient(), embedder.preprocessor),
        quality=QualityScale(),
        fingerprint=_fingerprint(models),
    )
    _warm(vision, choice)
    return LoadedVision(vision, embedder.manifest.operating_points(), embedder.manifest.calibration(), models, gpu)


def _fingerprint(models: Sequence[LoadedModel]) -> str:
    parts = [_ALIGNMENT]
    for manifest in (model.manifest for model in models):
        parts += [manifest.sha256, repr(manifest.pixels())]
        parts += [repr(manifest.template())] if manifest.kind is Kind.EMBEDDER else []
    return fingerprint_of(*parts)


def _decide(choice: ModelChoice, model: str, role: Role) -> Decision | None:
    """What runs a model on the CPU, which it also does where it is to move to a GPU; None where the user named it."""
    if choice.runtime is not Runtime.AUTO and not choice.runtime.on_gpu:
        return None
    cores = Cores(choice.threads, choice.lanes)
    chooser = RuntimeChooser(choice.models_dir, cores, detect_side=choice.detect_side)
    return chooser.choose(choice.models_dir / model, role)


def _load(
    choice: ModelChoice, gpu: GpuModels | None, ran: Ran, model: str, role: Role, decision: Decision | None
) -> LoadedModel:
    folder = choice.models_dir / model
    runtime = choice.runtime if decision is None else decision.runtime
    manifest, backend = load_backend(folder, runtime=runtime, threads=choice.threads, lanes=choice.lanes)
    standby = None
    preprocessor: Preprocessor = CpuPreprocessor()
    if gpu is not None:
        standby = gpu.move(folder, role, backend)
        backend, preprocessor = standby, gpu.preprocessor(standby)
    counted = CountedBackend(backend, partial(ran, role.value))
    combining = CombiningBackend(
        counted,
        max_batch=choice.max_batch,
        lanes=choice.lanes,
        max_delay_s=choice.max_delay_s,
        in_buckets=standby is None,
    )
    return LoadedModel(manifest, combining, role, decision, standby, preprocessor)


def detector_of(model: LoadedModel, longest_side: int) -> Detector:
    """A model as a detector.

    Raises:
        ModelError: it is none.
    """
    return Detector(
        backend=model.backend,
        pixels=model.manifest.pixels(),
        rule=_rule(model),
        size_multiple=model.manifest.input.size_multiple,
        longest_side=longest_side,
        preprocessor=model.preprocessor,
    )


def landmarker_of(model: LoadedModel) -> Landmarker:
    """A detector as a landmarker.

    Raises:
        ModelError: it is no detector.
    """
    return Landmarker(
        backend=model.backend,
        pixels=model.manifest.pixels(),
        rule=_rule(model),
        preprocessor=model.preprocessor,
    )


def _rule(model: LoadedModel) -> DetectionRule:
    part = model.manifest.as_detector()
    return DetectionRule(part.decoding, part.score_threshold, part.nms_iou)


def embedder_of(manifest: Manifest, backend: Backend, preprocessor: Preprocessor | None = None) -> Embedder:
    """A model as an embedder.

    Raises:
        ModelError: it is none.
    """
    part = manifest.as_embedder()
    return Embedder(
        backend=backend,
        pixels=manifest.pixels(),
        template=manifest.template(),
        dimension=part.dimension,
        preprocessor=preprocessor or CpuPreprocessor(),
    )


def _warm(vision: FaceVision, choice: ModelChoice) -> None:
    """Runs every network once, so that the first frame doesn't pay for it."""
    side = choice.detect_side
    vision.detector.detect(np.zeros((side * 9 // 16, side, 3), np.uint8))
    template = vision.embedder.template
    if vision.landmarker is not None:
        vision.landmarker.refine(np.zeros((64, 64, 3), np.uint8), _one_face())
    # Noise, because a network may rightly make nothing of a picture of one colour.
    noise = np.random.default_rng(0).integers(0, 256, (1, template.height, template.width, 3), np.uint8)
    vision.embedder.embed(noise)
    vision.embedder.embed(noise, mirrored=True)


def _one_face() -> Faces:
    box = np.asarray([[16, 16, 48, 48]], np.float32)
    return Faces(box, np.full((1, 5, 2), 32, np.float32), np.ones(1, np.float32))
