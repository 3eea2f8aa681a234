"""8-bit weights in blocks become the float32 weights that ONNX says they stand for."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from server.errors import ModelError
from server.models.catalogue import SFACE, YUNET
from server.models.convert.quantised import dequantise, fold


def naive(values, scales, zeros, *, axis, block):
    """ONNX's definition, element by element."""
    result = np.zeros(values.shape, np.float32)
    for index in np.ndindex(values.shape):
        if block:
            where = tuple(place // block if number == axis else place for number, place in enumerate(index))
        else:
            where = (index[axis],) if scales.ndim else ()
        scale, zero = scales[where], zeros[where]
        result[index] = (np.float32(values[index]) - np.float32(zero)) * scale
    return result


@st.composite
def quantised(draw):
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 9))
    axis = draw(st.sampled_from([0, 1]))
    block = draw(st.integers(0, 4))
    generator = np.random.default_rng(draw(st.integers(0, 999)))
    values = generator.integers(-128, 128, (rows, columns)).astype(np.int8)
    if block:
        shape = [rows, columns]
        shape[axis] = -(-shape[axis] // block)
    else:
        shape = [values.shape[axis]] if draw(st.booleans()) else []
    scales = generator.uniform(1e-4, 1, shape).astype(np.float32)
    zeros = generator.integers(-128, 128, shape).astype(np.int8)
    return values, np.asarray(scales, np.float32), np.asarray(zeros, np.int8), axis, block


@given(quantised())
@settings(deadline=None)
def test_every_weight_is_its_blocks_scale_times_its_distance_from_the_zero_point(case):
    values, scales, zeros, axis, block = case
    got = dequantise(values, scales, zeros, axis=axis, block=block)
    np.testing.assert_array_equal(got, naive(values, scales, zeros, axis=axis, block=block))


def graph_of(nodes, weights):
    return helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 4])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )


def test_folding_leaves_one_float_weight_in_place_of_the_nodes_that_compute_it():
    generator = np.random.default_rng(0)
    values = generator.integers(-128, 128, (4, 6)).astype(np.int8)
    scales = generator.uniform(0, 1, (4, 2)).astype(np.float32)
    zeros = generator.integers(-9, 9, (4, 2)).astype(np.int8)
    graph = graph_of(
        [
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["flat"], axis=1, block_size=3),
            helper.make_node("Reshape", ["flat", "shape"], ["w"]),
            helper.make_node("MatMul", ["x", "w"], ["y"]),
        ],
        {"q": values, "s": scales, "z": zeros, "shape": np.array([6, 4], np.int64)},
    )
    fold(graph)
    assert [node.op_type for node in graph.node] == ["MatMul"]
    assert [tensor.name for tensor in graph.initializer] == ["w"]
    np.testing.assert_array_equal(
        numpy_helper.to_array(graph.initializer[0]), naive(values, scales, zeros, axis=1, block=3).reshape(6, 4)
    )


def test_folding_leaves_a_reshape_of_computed_values_alone():
    graph = graph_of([helper.make_node("Reshape", ["x", "shape"], ["y"])], {"shape": np.array([3, 4], np.int64)})
    fold(graph)
    assert [node.op_type for node in graph.node] == ["Reshape"]
    assert [tensor.name for tensor in graph.initializer] == ["shape"]


def test_quantised_weights_that_are_not_in_the_file_are_an_error():
    graph = graph_of([helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], name="dq")], {})
    with pytest.raises(ModelError, match="dq") as caught:
        fold(graph)
    assert caught.value.reason == "MODEL_UNREADABLE"


@pytest.mark.models
@pytest.mark.parametrize("entry", [SFACE, YUNET], ids=lambda entry: entry.name)
def test_the_installed_weights_are_the_published_ones_dequantised(models_dir, original, entry):
    """By way of numpy and the names in the file, not by way of our folding."""
    published = onnx.load_model_from_string(original(entry))
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in published.graph.initializer}
    installed = onnx.load(models_dir / entry.model / "model.onnx")
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in installed.graph.initializer}
    checked = 0
    for name, array in weights.items():
        stem = name.removesuffix("_reshaped").removesuffix("_dequantized")
        if stem == name:
            continue
        values = stored[f"{stem}_quantized"]
        scales, zeros = (stored[f"{stem}_{what}"].astype(np.float32) for what in ("scales", "zero_point"))
        if scales.shape and scales.shape != values.shape:
            repeats = -(-values.shape[-1] // scales.shape[-1])
            scales, zeros = (np.repeat(part, repeats, -1)[..., : values.shape[-1]] for part in (scales, zeros))
        expected = ((values - zeros) * scales).astype(np.float32).reshape(array.shape)
        np.testing.assert_array_equal(array, expected)
        checked += 1
    assert checked == sum(node.op_type == "DequantizeLinear" for node in published.graph.node)
