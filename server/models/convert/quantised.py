"""YuNet and SFace as OpenCV's model zoo publishes them: 8-bit weights in blocks become float32.

ONNX Runtime computes block-quantised weights anew in every run, or refuses them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from server.errors import ModelError
from server.models.convert.graph import drop_weight_inputs, free_dimensions, parse, serialise

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

Weights = dict[str, NDArray[np.generic]]


def convert_sface(data: bytes) -> bytes:
    """SFace with float32 weights and any number of crops in a batch."""
    model = parse(data)
    graph = model.graph
    fold(graph)
    drop_weight_inputs(graph)
    _free_batch(graph, {0: "n"})
    return serialise(model)


def convert_yunet(data: bytes) -> bytes:
    """YuNet with float32 weights and any number of pictures of any size (multiples of 32) in a batch."""
    model = parse(data)
    graph = model.graph
    fold(graph)
    _reshape_any_batch(graph)
    _free_batch(graph, {0: "n", 2: "height", 3: "width"})
    for output in graph.output:
        free_dimensions(output, {1: f"cells_{output.name}"})
    return serialise(model)


def fold(graph: GraphProto) -> None:
    """Replaces every DequantizeLinear of stored weights, and the Reshape behind it, by float32 weights.

    Raises:
        ModelError: MODEL_UNREADABLE when a quantised weight is not stored in the file.
    """
    from onnx import numpy_helper

    stored: Weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            stored[node.output[0]] = _dequantised(node, stored)
        elif node.op_type == "Reshape" and node.input[0] in stored:
            stored[node.output[0]] = stored[node.input[0]].reshape(stored[node.input[1]])
        else:
            kept.append(node)
    _replace(graph, kept, stored)


def dequantise(
    values: NDArray[np.int8],
    scales: NDArray[np.float32],
    zero_points: NDArray[np.int8],
    *,
    axis: int,
    block: int,
) -> NDArray[np.float32]:
    """(value - zero point) * scale, where one scale and zero point hold for `block` neighbours along `axis`.

    `block` 0 is ONNX's per-tensor and per-axis form: one scale in all, or one for each index along `axis`.
    Shapes as in ONNX's DequantizeLinear (opset 21).
    """

    def spread(parameter: NDArray[np.float32]) -> NDArray[np.float32]:
        if block:
            return np.repeat(parameter, block, axis=axis).take(range(values.shape[axis]), axis=axis)
        if parameter.size == 1:
            return parameter.reshape(())
        return parameter.reshape([-1 if number == axis else 1 for number in range(values.ndim)])

    zeros = spread(zero_points.astype(np.float32))
    return np.asarray((values.astype(np.float32) - zeros) * spread(scales), np.float32)


def _dequantised(node: NodeProto, stored: Weights) -> NDArray[np.float32]:
    missing = [name for name in node.input if name not in stored]
    if missing or len(node.input) != 3:
        raise ModelError("MODEL_UNREADABLE", f"{node.name}: the quantised weights {missing} are not in the file")
    values, scales, zeros = (stored[name] for name in node.input)
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    return dequantise(
        values.astype(np.int8),
        scales.astype(np.float32),
        zeros.astype(np.int8),
        axis=attributes.get("axis", 1),
        block=attributes.get("block_size", 0),
    )


def _replace(graph: GraphProto, nodes: list[NodeProto], stored: Weights) -> None:
    """Leaves the nodes, and of the weights those that they read."""
    from onnx import numpy_helper

    read = {name for node in nodes for name in node.input}
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.initializer[:]
    graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in stored.items() if name in read
    )


def _reshape_any_batch(graph: GraphProto) -> None:
    """Turns the heads' reshapes to (1, cells, k) into (as many as came, cells, k)."""
    from onnx import numpy_helper

    shapes = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    for tensor in graph.initializer:
        if tensor.name in shapes:
            target = numpy_helper.to_array(tensor).copy()
            target[0] = 0  # ONNX: copy the dimension from the input
            tensor.CopyFrom(numpy_helper.from_array(target, tensor.name))


def _free_batch(graph: GraphProto, dimensions: dict[int, str]) -> None:
    del graph.value_info[:]
    free_dimensions(graph.input[0], dimensions)
    for output in graph.output:
        free_dimensions(output, {0: "n"})
