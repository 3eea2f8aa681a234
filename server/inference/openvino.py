"""OpenVINO on the CPU: the fast path on x86."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from server.errors import ConflictError
from server.inference.backend import Tensor, check_batch, check_outputs, check_size, closed
from server.inference.manifest import Manifest
from server.inference.native import check_tensors, failed, unreadable

if TYPE_CHECKING:
    import openvino


KERNEL_CACHE = 1000
"""Kernels kept for the input shapes seen last, about 60 a shape and network.

OpenVINO's own 5000 let YuNet grow by 3 MB with every new picture size, to 700 MB; 1000 hold it below 450 MB and cost
nothing measurable while pictures come in a few sizes.
"""


class Precision(Enum):
    """What OpenVINO computes in; the value is its name in `Backend.name`.

    BF16 is about twice as fast where the processor has it, with embeddings that differ in the third digit.
    """

    FLOAT32 = "f32"
    BFLOAT16 = "bf16"


class OpenVinoBackend:
    """A network compiled for this processor. `run` is thread-safe: concurrent calls take turns."""

    def __init__(self, manifest: Manifest, weights: bytes, *, precision: Precision, threads: int) -> None:
        """Compiles the network.

        Args:
            manifest: names the tensors.
            weights: the ONNX file, already verified.
            precision: what to compute in.
            threads: that one batch is spread over, at least 1.

        Raises:
            ConflictError: PRECISION_UNSUPPORTED when the processor can't do it.
            ModelError: MODEL_UNREADABLE when OpenVINO refuses the file, MODEL_MISMATCH when the manifest names
                tensors that the network hasn't got.
        """
        self.name = f"openvino-cpu-{precision.value}"
        compiled = _compile(manifest, weights, precision, threads)
        self._request: openvino.InferRequest | None = compiled.create_infer_request()
        self._input = manifest.input
        self._outputs = [compiled.output(name) for name in manifest.outputs()]
        self._turn = threading.Lock()

    def run(self, batch: Tensor) -> tuple[Tensor, ...]:
        """The network's outputs for a batch."""
        check_batch(batch)
        with self._turn:
            if self._request is None:
                raise closed(self.name)
            check_size(batch, self._input)
            feed = {self._input.tensor: np.ascontiguousarray(batch)}
            try:
                answer = self._request.infer(feed, share_inputs=True)
            except Exception as error:  # OpenVINO raises RuntimeError and TypeError alike
                raise failed(self.name, batch, error) from error
            outputs = tuple(np.array(answer[port], np.float32) for port in self._outputs)
        return check_outputs(outputs, len(batch))

    def close(self) -> None:
        """Releases the compiled network."""
        with self._turn:
            self._request = None
            self._outputs = []


def _compile(manifest: Manifest, weights: bytes, precision: Precision, threads: int) -> Any:  # noqa: ANN401
    import openvino

    core = openvino.Core()
    check_precision(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"), precision)
    settings = {
        "INFERENCE_PRECISION_HINT": precision.value,
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "CPU_RUNTIME_CACHE_CAPACITY": KERNEL_CACHE,
    }
    try:
        model = core.read_model(model=weights)
    except RuntimeError as error:
        raise unreadable(manifest, "openvino", error) from error
    check_tensors(
        manifest,
        inputs=[port.any_name for port in model.inputs],
        outputs=[name for port in model.outputs for name in port.names],
    )
    try:
        return core.compile_model(model, "CPU", settings)
    except RuntimeError as error:
        raise unreadable(manifest, "openvino", error) from error


def computes_bf16() -> bool:
    """Whether this processor computes in bfloat16."""
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def check_precision(capabilities: Sequence[str], precision: Precision) -> None:
    """Passes a precision that a processor with these OpenVINO capabilities computes in.

    Without this OpenVINO would compute in another one and not say so.

    Raises:
        ConflictError: PRECISION_UNSUPPORTED.
    """
    if precision is Precision.BFLOAT16 and "BF16" not in capabilities:
        raise ConflictError(
            "PRECISION_UNSUPPORTED",
            f"this processor does not compute in bf16 (it can {', '.join(capabilities)}); choose the runtime openvino",
        )
