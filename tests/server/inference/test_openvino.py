"""OpenVINO computes in the precision that was asked for."""

from __future__ import annotations

import numpy as np
import openvino
import pytest

from server.errors import ConflictError
from server.inference.manifest import load_manifest
from server.inference.openvino import OpenVinoBackend, check_precision
from server.inference.precision import Precision
from server.models.tiny import embedder_outputs

HAS_BF16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def outputs(embedder, precision: Precision, batch: np.ndarray) -> np.ndarray:
    weights = (embedder / "model.onnx").read_bytes()
    backend = OpenVinoBackend(load_manifest(embedder), weights, precision=precision, threads=1)
    return backend.run(batch)[0]


def test_float32_is_exact_where_the_processor_would_rather_round(embedder):
    batch = np.random.default_rng(0).uniform(-100, 100, (4, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(
        outputs(embedder, Precision.FLOAT32, batch), embedder_outputs(batch)[0], rtol=1e-4, atol=1e-4
    )


@pytest.mark.skipif(not HAS_BF16, reason="this processor does not compute in bf16")
def test_bf16_differs_from_float32_a_little(embedder):
    batch = np.random.default_rng(0).uniform(-100, 100, (4, 3, 8, 8)).astype(np.float32)
    exact = outputs(embedder, Precision.FLOAT32, batch)
    error = np.abs(outputs(embedder, Precision.BFLOAT16, batch) - exact).max() / np.abs(exact).max()
    assert 1e-5 < error < 2e-2


def test_bf16_is_refused_where_the_processor_has_none():
    check_precision(["FP32", "BF16"], Precision.BFLOAT16)
    check_precision(["FP32"], Precision.FLOAT32)
    with pytest.raises(ConflictError, match="FP32, INT8") as caught:
        check_precision(["FP32", "INT8"], Precision.BFLOAT16)
    assert caught.value.reason == "PRECISION_UNSUPPORTED"
