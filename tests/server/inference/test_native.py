"""Whatever a native library complains about, the caller gets the project's own errors."""

from __future__ import annotations

import numpy as np
import pytest

from server.errors import InferenceError, ModelError
from server.inference.manifest import load_manifest
from server.inference.onnx import OnnxBackend
from server.inference.openvino import OpenVinoBackend
from server.inference.precision import Precision


def open_onnx(manifest, weights):
    return OnnxBackend(manifest, weights, threads=1)


def open_openvino(manifest, weights):
    return OpenVinoBackend(manifest, weights, precision=Precision.FLOAT32, threads=1)


@pytest.fixture(params=[open_onnx, open_openvino], ids=["onnxruntime", "openvino"])
def open_backend(request):
    return request.param


@pytest.mark.parametrize("weights", [b"", b"junk" * 100, b"\x08\x07"], ids=["empty", "junk", "no graph"])
def test_bytes_that_are_no_network_are_refused(open_backend, embedder, weights):
    with pytest.raises(ModelError) as caught:
        open_backend(load_manifest(embedder), weights)
    assert caught.value.reason == "MODEL_UNREADABLE"


def test_an_operator_that_nobody_knows_is_refused(open_backend, rebuilt):
    def strange(model):
        model.graph.node[1].op_type = "MatMulBackwards"

    with pytest.raises(ModelError, match="tiny-embedder/v1") as caught:
        open_backend(*rebuilt(strange))
    assert caught.value.reason == "MODEL_UNREADABLE"


def test_an_input_of_another_name_is_refused_with_both_names(open_backend, embedder):
    manifest = load_manifest(embedder)
    other = manifest.model_copy(update={"input": manifest.input.model_copy(update={"tensor": "faces"})})
    with pytest.raises(ModelError, match=r"faces.*crops") as caught:
        open_backend(other, (embedder / "model.onnx").read_bytes())
    assert caught.value.reason == "MODEL_MISMATCH"


def test_an_output_of_another_name_is_refused_with_both_names(open_backend, embedder):
    manifest = load_manifest(embedder)
    part = manifest.as_embedder().model_copy(update={"output": "vector"})
    with pytest.raises(ModelError, match=r"vector.*embedding") as caught:
        open_backend(manifest.model_copy(update={"embedder": part}), (embedder / "model.onnx").read_bytes())
    assert caught.value.reason == "MODEL_MISMATCH"


def test_a_batch_that_the_library_refuses_is_an_inference_error(open_backend, one_at_a_time):
    backend = open_backend(*one_at_a_time)
    (output,) = backend.run(np.zeros((1, 3, 8, 8), np.float32))
    assert output.shape == (1, 4)
    with pytest.raises(InferenceError, match=r"\(2, 3, 8, 8\)") as caught:
        backend.run(np.zeros((2, 3, 8, 8), np.float32))
    assert caught.value.reason == "BACKEND_FAILED"
    assert caught.value.__cause__ is not None
