"""Is a model folder what its manifest says? Hash, tensors, shapes, batches: the network is really run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from server.domain import Decoding
from server.errors import InferenceError, ModelError
from server.inference.backend import Backend, Tensor
from server.inference.load import Runtime, load_backend
from server.inference.manifest import Manifest
from server.inference.parts import Input
from server.inference.precision import Precision

BATCH = 3
PROBE_SIDE = 320
TOLERANCE = {Precision.FLOAT32: 1e-4, Precision.FLOAT16: 1e-2, Precision.BFLOAT16: 5e-2, Precision.INT8: 5e-2}
"""How much a row may depend on its batch, relative to the largest output."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a model that passed is.

    Attributes:
        manifest: what it says.
        backend: what ran it.
        warnings: what does not make it wrong but should be known.
    """

    manifest: Manifest
    backend: str
    warnings: tuple[str, ...]


def verify(folder: Path, *, runtime: Runtime) -> Findings:
    """What the model in the folder is, after all checks passed.

    Raises:
        ModelError: the first check that failed.
        ConflictError: PRECISION_UNSUPPORTED when this processor can't do what `runtime` asks.
    """
    manifest, backend = load_backend(folder, runtime=runtime, threads=1)
    try:
        batch = probe(manifest.input)
        outputs = _run(manifest, backend, batch)
        _check_shapes(manifest, outputs, batch)
        _check_rows(manifest, backend, batch, TOLERANCE[runtime.precision])
        warnings = (*_path_warnings(manifest, folder), *_output_warnings(manifest, outputs))
        return Findings(manifest, backend.name, warnings)
    finally:
        backend.close()


def probe(wanted: Input) -> Tensor:
    """Pictures of even noise, (3, 3, H, W), as the network wants its pixels."""
    multiple = wanted.size_multiple
    side = -(-PROBE_SIDE // multiple) * multiple
    shape = (BATCH, 3, wanted.height or side, wanted.width or side)
    levels = np.random.default_rng(0).uniform(0, 255, shape)
    mean = np.reshape(wanted.pixels.mean, (3, 1, 1))
    std = np.reshape(wanted.pixels.std, (3, 1, 1))
    return np.asarray((levels - mean) / std, np.float32)


def _run(manifest: Manifest, backend: Backend, batch: Tensor) -> tuple[Tensor, ...]:
    try:
        return backend.run(batch)
    except InferenceError as error:
        raise _mismatch(
            manifest,
            f"it does not take a batch of {batch.shape}: {error.message}. Export it with a free first dimension, and "
            "width and height as the manifest says",
        ) from error


def _check_shapes(manifest: Manifest, outputs: tuple[Tensor, ...], batch: Tensor) -> None:
    for name, output, wanted in zip(manifest.outputs(), outputs, _shapes(manifest, batch), strict=True):
        if output.shape[1:] != wanted:
            raise _mismatch(
                manifest,
                f"output {name!r} has the shape {output.shape} for a batch of {batch.shape}, wanted is "
                f"{(len(batch), *wanted)}",
            )


def _shapes(manifest: Manifest, batch: Tensor) -> list[tuple[int, ...]]:
    """Shapes of the outputs without the first dimension."""
    if manifest.embedder is not None:
        return [(manifest.embedder.dimension,)]
    height, width = batch.shape[2:]
    match manifest.as_detector().decoding:
        case Decoding.YUNET:
            cells = [(height // stride) * (width // stride) for stride in (8, 16, 32)]
            return [(count, values) for values in (1, 1, 4, 10) for count in cells]
        case Decoding.CENTERFACE:
            return [(values, height // 4, width // 4) for values in (1, 2, 2, 10)]


def _check_rows(manifest: Manifest, backend: Backend, batch: Tensor, tolerance: float) -> None:
    """A row's outputs must not depend on the rest of the batch."""
    together = _run(manifest, backend, batch)
    for row in range(len(batch)):
        alone = _run(manifest, backend, batch[row : row + 1])
        for name, many, one in zip(manifest.outputs(), together, alone, strict=True):
            difference = float(np.abs(many[row] - one[0]).max())
            if difference > tolerance * max(1e-6, float(np.abs(many).max())):
                raise _mismatch(
                    manifest,
                    f"output {name!r} of a picture changes by {difference:.3g} with the batch it is in; export the "
                    "network in evaluation mode",
                )


def _path_warnings(manifest: Manifest, folder: Path) -> list[str]:
    named = Path(*folder.resolve().parts[-2:]).as_posix()
    if named == manifest.model:
        return []
    return [f"the folder is called {named}, its manifest {manifest.model}"]


def _output_warnings(manifest: Manifest, outputs: tuple[Tensor, ...]) -> list[str]:
    if manifest.embedder is None:
        return []
    warnings = []
    if not manifest.embedder.operating_points:
        warnings.append("no operating points: nobody can be named until some are measured")
    if float(np.abs(outputs[0][0] - outputs[0][1]).max()) == 0:
        warnings.append("different pictures give the same embedding")
    return warnings


def _mismatch(manifest: Manifest, what: str) -> ModelError:
    return ModelError("MODEL_MISMATCH", f"{manifest.model} is not what its manifest says: {what}")
