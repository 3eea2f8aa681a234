"""Simplifies a network before its numbers are changed: constants computed, normalisations folded into convolutions."""

from __future__ import annotations

import tempfile
from pathlib import Path

from server.errors import ModelError


def folded(weights: bytes) -> bytes:
    """The same network in fewer and plainer nodes, all of the standard's own, in float32.

    Folding happens in float32: a variance of 1e-10 would vanish in float16. ONNX Runtime does it.

    Raises:
        ModelError: MODEL_UNREADABLE.
    """
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "folded.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 3
        try:
            onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelError("MODEL_UNREADABLE", f"ONNX Runtime cannot fold the network: {error}") from error
        return path.read_bytes()
