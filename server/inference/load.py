"""From a model folder to a backend: the one place that chooses a runtime."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from server.errors import InvalidInputError
from server.inference.backend import Backend
from server.inference.manifest import Kind, Manifest, load_manifest, verified_weights


class Runtime(Enum):
    """What runs the networks; the values are the names in the settings.

    AUTO is the fastest one here whose embeddings are as accurate: OpenVINO, in bfloat16 for embedders where the
    processor has it. Detectors stay in float32, because a landmark that moves costs accuracy. `Backend.name` says what
    it came to.
    """

    AUTO = "auto"
    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"
    OPENVINO_BF16 = "openvino-bf16"

    @staticmethod
    def parse(text: str) -> Runtime:
        """The runtime of that name.

        Raises:
            InvalidInputError: RUNTIME_UNKNOWN.
        """
        try:
            return Runtime(text)
        except ValueError as error:
            names = ", ".join(runtime.value for runtime in Runtime)
            raise InvalidInputError(
                "RUNTIME_UNKNOWN", f"{text[:100]!r} is no runtime; choose one of {names}"
            ) from error


def load_backend(folder: Path, *, runtime: Runtime, threads: int, lanes: int = 1) -> tuple[Manifest, Backend]:
    """The manifest of a model folder and a backend that runs its network.

    The weights reach the native library only when their hash is the manifest's.

    Args:
        folder: NAME/VERSION in the models directory.
        runtime: what runs the network; there is no falling back to another.
        threads: that one batch is spread over, at least 1.
        lanes: batches that run at once; ONNX Runtime shares its threads among as many as there are.

    Raises:
        ModelError: when the folder is missing, damaged or not what its manifest says.
        ConflictError: PRECISION_UNSUPPORTED when this processor can't do what `runtime` asks.
        InvalidInputError: THREADS_INVALID when `threads` is below 1.
    """
    if threads < 1:
        raise InvalidInputError("THREADS_INVALID", f"a backend needs at least 1 thread, not {threads}")
    manifest = load_manifest(folder)
    weights = verified_weights(folder, manifest)
    return manifest, _open(manifest, weights, runtime, (threads, lanes))


def _open(manifest: Manifest, weights: bytes, runtime: Runtime, cores: tuple[int, int]) -> Backend:
    threads, lanes = cores
    match runtime:
        case Runtime.AUTO:
            return _open(manifest, weights, _fastest(manifest.kind), cores)
        case Runtime.ONNXRUNTIME:
            from server.inference.onnx import OnnxBackend

            return OnnxBackend(manifest, weights, threads=threads)
        case Runtime.OPENVINO | Runtime.OPENVINO_BF16:
            from server.inference.openvino import OpenVinoBackend, Precision

            bf16 = runtime is Runtime.OPENVINO_BF16
            precision = Precision.BFLOAT16 if bf16 else Precision.FLOAT32
            return OpenVinoBackend(manifest, weights, precision=precision, threads=threads, lanes=lanes)


def _fastest(kind: Kind) -> Runtime:
    from server.inference.openvino import computes_bf16

    return Runtime.OPENVINO_BF16 if kind is Kind.EMBEDDER and computes_bf16() else Runtime.OPENVINO
