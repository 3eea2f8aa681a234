"""OpenVINO computes in the precision that was asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from server.errors import ConflictError
from server.inference.manifest import load_manifest
from server.inference.openvino import OpenVinoBackend, capabilities, check_precision
from server.inference.precision import Precision
from server.models.tiny import embedder_outputs

HAS_BF16 = "BF16" in capabilities()
ROOT = Path(__file__).parents[3]


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


def test_nothing_is_reported_to_anybody(tmp_path):
    """In a process of its own: elsewhere OpenVINO may have been imported before."""
    code = """
import sys
from pathlib import Path
told = []
sys.addaudithook(lambda event, _: told.append(event) if event in ("socket.connect", "os.fork") else None)
from server.inference.load import Runtime, load_backend
from server.models.tiny import write_tiny_embedder
load_backend(write_tiny_embedder(Path(sys.argv[1])), runtime=Runtime.OPENVINO, threads=1)
sys.exit(str(told) if told else 0)
"""
    environment = {key: value for key, value in os.environ.items() if key != "CI"}  # it keeps silent there anyway
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, env={**environment, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
