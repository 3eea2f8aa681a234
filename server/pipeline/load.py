"""Model folders to a set of models that is warm and ready."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from server.domain import OperatingPoint
from server.inference.backend import Backend
from server.inference.combine import CombiningBackend
from server.inference.load import Runtime, load_backend
from server.inference.manifest import Manifest
from server.pipeline.vision import Detector, Embedder, FaceVision, fingerprint_of
from server.vision.detect import DetectionRule
from server.vision.quality import QualityScale

_ALIGNMENT = "similarity-5"
"""Names how crops are aligned. Change it with the pixels of the crops: old embeddings then no longer mix."""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which models, and how they run.

    Attributes:
        models_dir: folder of NAME/VERSION folders.
        detector: NAME/VERSION.
        embedder: NAME/VERSION.
        runtime: what runs them.
        threads: of one network.
        max_batch: images that one network runs together at most.
        detect_side: longer side to which images shrink for detection, pixels.
    """

    models_dir: Path
    detector: str
    embedder: str
    runtime: Runtime
    threads: int
    max_batch: int
    detect_side: int


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that runs: what it is and what runs it."""

    manifest: Manifest
    backend: Backend


@dataclass(frozen=True, slots=True)
class LoadedVision:
    """The models of a server.

    Attributes:
        vision: ready to use.
        operating_points: of the embedder.
        models: all of them, for information and for closing.
    """

    vision: FaceVision
    operating_points: tuple[OperatingPoint, ...]
    models: tuple[LoadedModel, ...]

    def close(self) -> None:
        """Releases the networks."""
        for model in self.models:
            model.backend.close()


def load_vision(choice: ModelChoice, *, say: Callable[[str], None]) -> LoadedVision:
    """Loads and warms the models.

    Args:
        choice: which and how.
        say: told of each model that is ready.

    Raises:
        ModelError: a model is missing, damaged, of the wrong kind, or has no measured thresholds.
    """
    detector = _load(choice, choice.detector)
    embedder = _load(choice, choice.embedder)
    for model in (detector, embedder):
        say(f"{model.manifest.model} on {model.backend.name}")
    vision = FaceVision(
        detector=detector_of(detector, choice.detect_side),
        embedder=embedder_of(embedder),
        quality=QualityScale(),
        fingerprint=fingerprint_of(
            detector.manifest.sha256,
            repr(detector.manifest.pixels()),
            _ALIGNMENT,
            embedder.manifest.sha256,
            repr(embedder.manifest.pixels()),
            repr(embedder.manifest.template()),
        ),
    )
    _warm(vision, choice)
    return LoadedVision(vision, embedder.manifest.operating_points(), (detector, embedder))


def _load(choice: ModelChoice, model: str) -> LoadedModel:
    manifest, backend = load_backend(choice.models_dir / model, runtime=choice.runtime, threads=choice.threads)
    return LoadedModel(manifest, CombiningBackend(backend, max_batch=choice.max_batch))


def detector_of(model: LoadedModel, longest_side: int) -> Detector:
    """A model as a detector.

    Raises:
        ModelError: it is none.
    """
    part = model.manifest.as_detector()
    return Detector(
        backend=model.backend,
        pixels=model.manifest.pixels(),
        rule=DetectionRule(part.decoding, part.score_threshold, part.nms_iou),
        size_multiple=model.manifest.input.size_multiple,
        longest_side=longest_side,
    )


def embedder_of(model: LoadedModel) -> Embedder:
    """A model as an embedder.

    Raises:
        ModelError: it is none.
    """
    part = model.manifest.as_embedder()
    return Embedder(
        backend=model.backend,
        pixels=model.manifest.pixels(),
        template=model.manifest.template(),
        dimension=part.dimension,
    )


def _warm(vision: FaceVision, choice: ModelChoice) -> None:
    """Runs every network once, so that the first frame doesn't pay for it."""
    side = choice.detect_side
    vision.detector.detect(np.zeros((side * 9 // 16, side, 3), np.uint8))
    template = vision.embedder.template
    grey = np.full((1, template.height, template.width, 3), 128, np.uint8)
    vision.embedder.embed(grey)
    vision.embedder.embed(grey, mirrored=True)
