"""How much a network computes: multiply-adds of its convolutions and products, read off the ONNX file."""

from __future__ import annotations

import math

import onnx
from onnx import shape_inference

from server.inference.engines.profiles import Shape


def multiply_adds(weights: bytes, shape: Shape) -> int:
    """Of one run with an input of this shape."""
    model = onnx.load_from_string(weights)
    for side, value in zip(model.graph.input[0].type.tensor_type.shape.dim, shape, strict=True):
        side.dim_value = value
    for output in model.graph.output:
        for side in output.type.tensor_type.shape.dim:
            side.Clear()
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {
        value.name: [side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.output, *graph.input)
    }
    shapes |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    return sum(_of(node, shapes) for node in graph.node)


def _of(node: onnx.NodeProto, shapes: dict[str, list[int]]) -> int:
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return 0
    weight = shapes[node.input[1]]
    if node.op_type == "Conv":
        return math.prod(shapes[node.output[0]]) * math.prod(weight[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(shapes[node.input[0]]) * math.prod(weight[1:])
    rows = shapes[node.output[0]]
    inner = shapes[node.input[0]][-1]
    return math.prod(rows) * inner
