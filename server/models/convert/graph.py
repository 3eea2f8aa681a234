"""What every conversion of an ONNX graph needs: read, free dimensions, write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from server.errors import ModelError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, ValueInfoProto

PRODUCER = "facestream"


def parse(data: bytes) -> ModelProto:
    """The graph in the bytes of an ONNX file.

    Raises:
        ModelError: MODEL_UNREADABLE when they are something else.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as error:
        raise ModelError(
            "MODEL_UNREADABLE", f"the {len(data)} bytes are no ONNX file: {error}; fetch the package again"
        ) from error
    if not model.graph.node:
        raise ModelError("MODEL_UNREADABLE", f"the {len(data)} bytes are an ONNX file without a network in it")
    return model


def serialise(model: ModelProto) -> bytes:
    """The bytes of an ONNX file, the same for the same graph.

    Raises:
        ModelError: MODEL_UNREADABLE when the graph is not valid ONNX.
    """
    import onnx

    model.producer_name = PRODUCER
    model.producer_version = ""
    model.doc_string = ""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError("MODEL_UNREADABLE", f"the converted network is not valid ONNX: {error}") from error
    return bytes(model.SerializeToString(deterministic=True))


def drop_weight_inputs(graph: GraphProto) -> None:
    """Takes the names of stored or computed weights out of the graph's inputs.

    Old exporters list every weight as an input that a caller may override, which forbids constant folding.
    """
    produced = {tensor.name for tensor in graph.initializer}
    consumed = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.input if tensor.name not in produced and tensor.name in consumed]
    del graph.input[:]
    graph.input.extend(kept)


def free_dimensions(tensor: ValueInfoProto, names: Mapping[int, str]) -> None:
    """Lets the dimensions with these numbers take any size."""
    dimensions = tensor.type.tensor_type.shape.dim
    for number, name in names.items():
        dimensions[number].ClearField("dim_value")
        dimensions[number].dim_param = name
