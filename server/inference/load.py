"""From a model folder to a backend: the one place that opens a runtime."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from server.errors import InvalidInputError
from server.inference.backend import Backend
from server.inference.manifest import Kind, Manifest, load_manifest, verified_weights
from server.inference.precision import Precision


class Runtime(Enum):
    """What runs the networks; the values are the names in the settings.

    AUTO stands for whichever of `candidates` server/inference/choose.py finds best on this machine; only the others
    can be opened.
    """

    AUTO = "auto"
    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"
    OPENVINO_BF16 = "openvino-bf16"
    TENSORRT = "tensorrt"
    TENSORRT_FP16 = "tensorrt-fp16"
    TENSORRT_INT8 = "tensorrt-int8"

    @property
    def on_gpu(self) -> bool:
        """Whether it runs engines on a GPU."""
        return self in (Runtime.TENSORRT, Runtime.TENSORRT_FP16, Runtime.TENSORRT_INT8)

    @property
    def precision(self) -> Precision:
        """What it computes in.

        Raises:
            InvalidInputError: RUNTIME_UNDECIDED for AUTO.
        """
        if self is Runtime.AUTO:
            raise _undecided()
        return _REDUCED.get(self, Precision.FLOAT32)

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


_REDUCED = {
    Runtime.OPENVINO_BF16: Precision.BFLOAT16,
    Runtime.TENSORRT_FP16: Precision.FLOAT16,
    Runtime.TENSORRT_INT8: Precision.INT8,
}

REFERENCE = Runtime.ONNXRUNTIME
"""What the others are compared with: it runs on every processor, in float32."""


def candidates(kind: Kind) -> tuple[Runtime, ...]:
    """The runtimes that a model of this kind may be given, the reference first.

    Detectors stay in float32: a landmark that moves by a fraction of a pixel costs more accuracy at the embedder than
    the time is worth.
    """
    exact = (REFERENCE, Runtime.OPENVINO)
    return (*exact, Runtime.OPENVINO_BF16) if kind is Kind.EMBEDDER else exact


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
        ConflictError: PRECISION_UNSUPPORTED when this processor can't do what `runtime` asks, ENGINE_LIBRARY_MISSING,
            CUDA_LIBRARY_MISSING or GPU_MISSING when it asks for a GPU and there is none that can be used.
        InvalidInputError: THREADS_INVALID when `threads` is below 1, RUNTIME_UNDECIDED for AUTO.
    """
    if threads < 1:
        raise InvalidInputError("THREADS_INVALID", f"a backend needs at least 1 thread, not {threads}")
    manifest = load_manifest(folder)
    weights = verified_weights(folder, manifest)
    return manifest, open_backend(manifest, weights, runtime, threads=threads, lanes=lanes)


def open_backend(manifest: Manifest, weights: bytes, runtime: Runtime, *, threads: int, lanes: int) -> Backend:
    """A backend that runs verified weights; arguments and errors as those of `load_backend`."""
    match runtime:
        case Runtime.AUTO:
            raise _undecided()
        case Runtime.ONNXRUNTIME:
            from server.inference.onnx import OnnxBackend

            return OnnxBackend(manifest, weights, threads=threads)
        case Runtime.OPENVINO | Runtime.OPENVINO_BF16:
            from server.inference.openvino import OpenVinoBackend

            return OpenVinoBackend(manifest, weights, precision=runtime.precision, threads=threads, lanes=lanes)
        case Runtime.TENSORRT | Runtime.TENSORRT_FP16 | Runtime.TENSORRT_INT8:
            from server.inference.gpu.runtime import open_alone

            return open_alone(manifest, weights, runtime.precision)


def _undecided() -> InvalidInputError:
    return InvalidInputError(
        "RUNTIME_UNDECIDED",
        "the runtime auto runs nothing by itself: choose one with server.models.runtimes, or name one",
    )
