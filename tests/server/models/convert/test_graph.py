"""Reading, freeing and writing ONNX graphs."""

from __future__ import annotations

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import ModelError
from server.models.convert.graph import drop_weight_inputs, free_dimensions, parse, serialise
from server.models.tiny import write_tiny_embedder


@pytest.fixture
def model(tmp_path):
    return onnx.load(write_tiny_embedder(tmp_path) / "model.onnx")


@given(st.binary(max_size=200))
def test_bytes_that_are_no_network_are_refused_with_an_error_of_ours(data):
    with pytest.raises(ModelError) as caught:
        parse(data)
    assert caught.value.reason == "MODEL_UNREADABLE"


def test_a_network_survives_writing_and_reading(model):
    assert parse(serialise(model)).graph == model.graph


def test_a_network_that_is_not_valid_is_not_written(model):
    model.graph.node[1].input[1] = "nowhere"
    with pytest.raises(ModelError, match="nowhere"):
        serialise(model)


def test_weights_leave_the_inputs_and_pictures_stay(model):
    graph = model.graph
    for name in ("matrix", "unread"):
        graph.input.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [192, 4]))
    drop_weight_inputs(graph)
    assert [tensor.name for tensor in graph.input] == ["crops"]


def test_a_freed_dimension_takes_any_size_and_the_others_stay(model):
    tensor = model.graph.input[0]
    free_dimensions(tensor, {2: "height"})
    shape = tensor.type.tensor_type.shape.dim
    assert [dimension.dim_value for dimension in shape] == [0, 3, 0, 8]
    assert [dimension.dim_param for dimension in shape] == ["n", "", "height", ""]
