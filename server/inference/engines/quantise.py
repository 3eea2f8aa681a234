"""Networks in int8: quantisation written into the ONNX file (QDQ), with ranges measured on real inputs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from server.errors import InvalidInputError
from server.inference.backend import Tensor
from server.inference.engines.fold import folded

MIN_CALIBRATION = 32
"""Fewer inputs than this say too little about the ranges of activations."""
_CHUNK = 8


def to_int8(weights: bytes, tensor: str, calibration: Tensor) -> bytes:
    """The network with weights and activations rounded to int8 around convolutions and products.

    Symmetric, because TensorRT knows no zero points; weights per channel. Ranges are the extremes that were seen.

    Args:
        weights: an ONNX file of float32, weights inside.
        tensor: name of its input.
        calibration: (N, 3, H, W) float32 inputs as they will come, N >= MIN_CALIBRATION.

    Raises:
        InvalidInputError: CALIBRATION_TOO_SMALL.
        ModelError: MODEL_UNREADABLE.
    """
    if len(calibration) < MIN_CALIBRATION:
        raise InvalidInputError(
            "CALIBRATION_TOO_SMALL",
            f"{len(calibration)} crops are too few to measure ranges on; give at least {MIN_CALIBRATION}, better 500",
        )
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(_prepared(weights))
        quantize_static(
            source,
            target,
            _reader(tensor, calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Gemm", "MatMul"],
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "QuantizeBias": False,
            },
        )
        return target.read_bytes()


def _prepared(weights: bytes) -> bytes:
    """The folded network with a note that it needs no preparation, which the quantiser would otherwise ask for."""
    import onnx

    model = onnx.load_from_string(folded(weights))
    onnx.helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
    return bytes(model.SerializeToString())


def _reader(tensor: str, calibration: Tensor) -> object:
    from onnxruntime.quantization import CalibrationDataReader

    class Batches(CalibrationDataReader):  # type: ignore[misc]
        """Hands the inputs out in small batches."""

        def __init__(self) -> None:
            self._chunks: Iterator[NDArray[np.float32]] = iter(
                [calibration[start : start + _CHUNK] for start in range(0, len(calibration) - _CHUNK + 1, _CHUNK)]
            )

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            """The next inputs; None at the end."""
            chunk = next(self._chunks, None)
            return None if chunk is None else {tensor: np.ascontiguousarray(chunk)}

    return Batches()
