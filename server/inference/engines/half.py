"""Networks in float16: TensorRT-RTX and TensorRT 11 compute in what the ONNX file says, so the file must say it."""

from __future__ import annotations

import numpy as np

from server.errors import ModelError
from server.inference.engines.fold import folded

_IN_FULL = ("ReduceL2", "LpNormalization", "ReduceSumSquare")
"""Sums of squares overflow float16 at norms above 256; what computes them stays in float32."""


def to_half(weights: bytes) -> bytes:
    """The network with float16 weights and activations; its inputs and outputs stay float32.

    Args:
        weights: an ONNX file of float32, weights inside.

    Raises:
        ModelError: PRECISION_OVERFLOWS when a weight is too large for float16, MODEL_UNREADABLE.
    """
    import onnx
    from onnxconverter_common import float16

    model = onnx.load_from_string(folded(weights))
    _require_room(model)
    half = float16.convert_float_to_float16(
        model,
        min_positive_val=0,  # tiny weights become zero, as rounding has it, and not 1e-7
        keep_io_types=True,
        op_block_list=[*float16.DEFAULT_OP_BLOCK_LIST, *_IN_FULL],
    )
    return bytes(half.SerializeToString())


def _require_room(model: onnx.ModelProto) -> None:  # type: ignore[name-defined]  # noqa: F821
    from onnx import numpy_helper

    most = float(np.finfo(np.float16).max)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size and float(np.abs(values).max()) > most:
            raise ModelError(
                "PRECISION_OVERFLOWS",
                f"the weight {tensor.name!r} reaches {float(np.abs(values).max()):.3g}, float16 ends at {most:g}; "
                "build the engine in f32",
            )
