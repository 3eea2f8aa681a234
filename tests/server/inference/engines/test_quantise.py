"""Int8 where the layers bear it: a network one of whose layers loses nearly everything, by design."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from server.errors import InvalidInputError
from server.inference.engines.builder import TensorRtBuilder
from server.inference.engines.profiles import ShapeProfile
from server.inference.engines.progress import Progress
from server.inference.engines.quantise import AIM, _counts, embeddings, quantised
from tests.rtx import rtx

LOUD = 2000.0


def network(loud: float) -> bytes:
    """Four layers. Those between the first and the second carry one channel that is `loud` times the others.

    The second layer weighs that channel down again, so that in float32 nothing of it is left; in int8 the others drown.
    """
    draw = np.random.default_rng(0)
    weights = {f"w{number}": draw.normal(0, 0.4, (16, 16 if number else 3, 1, 1)) for number in range(3)}
    weights["w0"][0] *= loud
    weights["w1"][:, 0] /= loud
    weights["m"] = draw.normal(0, 0.4, (16, 8))
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], name="first"),
        helper.make_node("Conv", ["a", "w1"], ["b"], name="second"),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Conv", ["c", "w2"], ["d"], name="third"),
        helper.make_node("GlobalAveragePool", ["d"], ["e"]),
        helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("Gemm", ["f", "m"], ["y"], name="last"),
    ]
    graph = helper.make_graph(
        nodes,
        "loud",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def inputs(count, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, 3, 8, 8)).astype(np.float32)


def test_the_layer_that_loses_most_stays_in_float32_and_the_others_go():
    made = quantised(network(LOUD), "x", inputs(96))
    assert made.layers == 4
    assert made.kept[0] == "second"
    assert made.all_int8 < 0.9
    assert made.cosine > made.all_int8
    operators = [node.op_type for node in onnx.load_from_string(made.network).graph.node]
    assert "QuantizeLinear" in operators


def test_what_it_says_of_held_out_inputs_holds_for_others():
    weights = network(LOUD)
    made = quantised(weights, "x", inputs(96))
    others = inputs(64, seed=9)
    cosines = (embeddings(made.network, "x", others) * embeddings(weights, "x", others)).sum(axis=1)
    assert cosines.mean() > made.all_int8


def test_a_network_that_bears_it_is_in_int8_all_over():
    made = quantised(network(1.0), "x", np.abs(inputs(96)) + 1)
    assert made.kept == ()
    assert made.cosine == made.all_int8 >= AIM


def test_too_few_inputs_are_refused():
    with pytest.raises(InvalidInputError, match="31 crops are too few") as caught:
        quantised(network(1.0), "x", inputs(31))
    assert caught.value.reason == "CALIBRATION_TOO_SMALL"


@pytest.mark.parametrize("most", [0, 1, 2, 5, 14, 30])
def test_the_numbers_of_layers_that_are_tried_rise_to_the_most(most):
    counts = list(_counts(most))
    assert all(low < high for low, high in itertools.pairwise(counts))
    assert counts[-1:] == ([most] if most else [])


def test_a_mixed_network_becomes_an_engine():
    builder = TensorRtBuilder(rtx())
    made = quantised(network(LOUD), "x", inputs(48))
    profile = ShapeProfile((1, 3, 8, 8), (4, 3, 8, 8), (8, 3, 8, 8))
    assert builder.build(made.network, (profile,), builder.target_for("sm86"), Progress())
