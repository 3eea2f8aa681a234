"""ONNX Runtime on the CPU: runs on every processor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from server.inference.backend import Tensor, check_batch, check_outputs, check_size, closed
from server.inference.cuts import Batch, as_tensor
from server.inference.manifest import Manifest
from server.inference.native import check_tensors, failed, unreadable

if TYPE_CHECKING:
    import onnxruntime


class OnnxBackend:
    """An ONNX Runtime session. `run` is thread-safe; concurrent calls share the session's threads."""

    name = "onnxruntime-cpu"

    def __init__(self, manifest: Manifest, weights: bytes, *, threads: int) -> None:
        """Opens a session.

        Args:
            manifest: names the tensors.
            weights: the ONNX file, already verified.
            threads: that one batch is spread over, at least 1.

        Raises:
            ModelError: MODEL_UNREADABLE when ONNX Runtime refuses the file, MODEL_MISMATCH when the manifest names
                tensors that the network hasn't got.
        """
        session = _session(manifest, weights, threads)
        check_tensors(
            manifest,
            inputs=[tensor.name for tensor in session.get_inputs()],
            outputs=[tensor.name for tensor in session.get_outputs()],
        )
        self._session: onnxruntime.InferenceSession | None = session
        self._input = manifest.input
        self._outputs = list(manifest.outputs())

    def run(self, batch: Batch) -> tuple[Tensor, ...]:
        """The network's outputs for a batch."""
        session = self._session
        if session is None:
            raise closed(self.name)
        check_batch(batch)
        check_size(batch, self._input)
        tensor = as_tensor(batch)
        feed = {self._input.tensor: np.ascontiguousarray(tensor)}
        try:
            outputs = session.run(self._outputs, feed)
        except Exception as error:  # ONNX Runtime's errors share no narrower base
            raise failed(self.name, tensor, error) from error
        return check_outputs(tuple(outputs), len(batch))

    def close(self) -> None:
        """Releases the session."""
        self._session = None


def _session(manifest: Manifest, weights: bytes, threads: int) -> Any:  # noqa: ANN401
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A plan of the buffers is kept for every shape that ever came: a detector of pictures of many sizes would grow with
    # them. The arena alone takes less memory than none: 181 against 310 MB after 300 shapes, and 7 to 11 % less time.
    options.enable_mem_pattern = manifest.input.width is not None
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise unreadable(manifest, OnnxBackend.name, error) from error
