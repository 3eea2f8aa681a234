"""OpenVINO on the CPU: the fast path on x86."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from server.errors import ConflictError
from server.inference.backend import Tensor, check_batch, check_outputs, check_size, closed
from server.inference.cuts import Batch, as_tensor
from server.inference.manifest import Manifest
from server.inference.native import check_tensors, failed, unreadable
from server.inference.precision import Precision

if TYPE_CHECKING:
    import openvino


KERNEL_CACHE = 1000
"""Kernels kept for the input shapes seen last, about 60 a shape and network.

OpenVINO's own 5000 let YuNet grow by 3 MB with every new picture size, to 700 MB; 1000 hold it below 450 MB and cost
nothing measurable while pictures come in a few sizes.
"""


class OpenVinoBackend:
    """A network compiled for this processor. `run` is thread-safe: as many calls run at once as there are lanes."""

    def __init__(
        self, manifest: Manifest, weights: bytes, *, precision: Precision, threads: int, lanes: int = 1
    ) -> None:
        """Compiles the network.

        Args:
            manifest: names the tensors.
            weights: the ONNX file, already verified.
            precision: what to compute in.
            threads: that one batch is spread over, at least 1.
            lanes: batches that run at once, each on threads of its own; at least 1.

        Raises:
            ConflictError: PRECISION_UNSUPPORTED when the processor can't do it.
            ModelError: MODEL_UNREADABLE when OpenVINO refuses the file, MODEL_MISMATCH when the manifest names
                tensors that the network hasn't got.
        """
        self.name = f"openvino-cpu-{precision.value}"
        compiled = _compile(manifest, weights, precision, (threads, lanes))
        self._lanes = lanes
        # None stands for a request that was released.
        self._idle: SimpleQueue[openvino.InferRequest | None] = SimpleQueue()
        for _ in range(lanes):
            self._idle.put(compiled.create_infer_request())
        self._input = manifest.input
        self._outputs = [compiled.output(name) for name in manifest.outputs()]

    def run(self, batch: Batch) -> tuple[Tensor, ...]:
        """The network's outputs for a batch."""
        check_batch(batch)
        request = self._idle.get()
        try:
            if request is None:
                raise closed(self.name)
            outputs = self._infer(request, as_tensor(batch))
        finally:
            self._idle.put(request)
        return check_outputs(outputs, len(batch))

    def _infer(self, request: openvino.InferRequest, batch: Tensor) -> tuple[Tensor, ...]:
        check_size(batch, self._input)
        feed = {self._input.tensor: np.ascontiguousarray(batch)}
        try:
            answer = request.infer(feed, share_inputs=True)
        except Exception as error:  # OpenVINO raises RuntimeError and TypeError alike
            raise failed(self.name, batch, error) from error
        return tuple(np.array(answer[port], np.float32) for port in self._outputs)

    def close(self) -> None:
        """Releases the compiled network."""
        for _ in range(self._lanes):
            self._idle.get()
        for _ in range(self._lanes):
            self._idle.put(None)
        self._outputs = []


def _compile(manifest: Manifest, weights: bytes, precision: Precision, cores: tuple[int, int]) -> Any:  # noqa: ANN401
    threads, lanes = cores
    core = _library().Core()
    check_precision(capabilities(), precision)
    settings = {
        "INFERENCE_PRECISION_HINT": precision.value,
        "INFERENCE_NUM_THREADS": threads * lanes,
        "NUM_STREAMS": lanes,
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


def _library() -> Any:  # noqa: ANN401
    """OpenVINO without its telemetry.

    Importing it would report the import to a web service, from a forked process. OpenVINO has a stand-in for when its
    telemetry package is not there, so that package is made to look absent.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def capabilities() -> tuple[str, ...]:
    """What this processor computes in, in OpenVINO's words, such as FP32 and BF16."""
    return tuple(_library().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def check_precision(capabilities: Sequence[str], precision: Precision) -> None:
    """Passes a precision that a processor with these OpenVINO capabilities computes in.

    Without this OpenVINO would compute in another one and not say so.

    Raises:
        ConflictError: PRECISION_UNSUPPORTED.
    """
    wanted = {Precision.FLOAT32: "FP32", Precision.FLOAT16: "FP16", Precision.BFLOAT16: "BF16"}[precision]
    if wanted not in capabilities:
        raise ConflictError(
            "PRECISION_UNSUPPORTED",
            f"this processor does not compute in {precision.value} (it can {', '.join(capabilities)}); choose the "
            "runtime openvino",
        )
