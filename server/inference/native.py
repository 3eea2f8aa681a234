"""What is the same for every native library: its tensors are checked and its errors translated here."""

from __future__ import annotations

from collections.abc import Collection

from server.errors import InferenceError, ModelError
from server.inference.backend import Tensor
from server.inference.manifest import Manifest


def check_tensors(manifest: Manifest, *, inputs: Collection[str], outputs: Collection[str]) -> None:
    """Passes a network that has the tensors that its manifest names.

    Raises:
        ModelError: MODEL_MISMATCH.
    """
    if list(inputs) != [manifest.input.tensor]:
        raise _mismatch(manifest, f"one input {manifest.input.tensor!r}", f"inputs {sorted(inputs)}")
    missing = [name for name in manifest.outputs() if name not in outputs]
    if missing:
        raise _mismatch(manifest, f"outputs {missing}", f"outputs {sorted(outputs)}")


def unreadable(manifest: Manifest, library: str, error: Exception) -> ModelError:
    """The error of a file that a library refuses."""
    return ModelError(
        "MODEL_UNREADABLE",
        f"{library} cannot load {manifest.model}: {_first_line(error)}; check the file with "
        "`onnx.checker.check_model` and export it as one ONNX file with the weights inside",
    )


def failed(library: str, batch: Tensor, error: Exception) -> InferenceError:
    """The error of a library that fails on a batch."""
    return InferenceError("BACKEND_FAILED", f"{library} failed on a batch of {batch.shape}: {_first_line(error)}")


def _mismatch(manifest: Manifest, said: str, found: str) -> ModelError:
    return ModelError(
        "MODEL_MISMATCH",
        f"the manifest of {manifest.model} names {said}, but the network has {found}; correct the manifest",
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
