"""Networks in int8: quantisation written into the ONNX file (QDQ), with ranges measured on real inputs.

Not every layer bears it. Where all of them in int8 turn the embeddings too far, those that turn them furthest, each
quantised alone, stay in float32 until the rest does not (mixed precision by layer sensitivity, as in Wu et al. 2020,
"Integer quantization for deep learning inference", section 5.2).
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.errors import InvalidInputError
from server.inference.backend import Tensor
from server.inference.engines.fold import folded
from server.inference.parity import LEAST_COSINE
from server.inference.precision import Precision

MIN_CALIBRATION = 32
"""Fewer inputs than this say too little about the ranges of activations."""

PERCENTILE = 99.999
"""Of an activation's values, by magnitude, that a range holds; single outliers would cost all others their levels."""

AIM = 1 - (1 - LEAST_COSINE[Precision.INT8]) / 4
"""Least cosine on inputs that are held out, with room for inputs that nobody has seen."""

_CHUNK = 8
_BINS = 4096
_HELD_OUT = 3
"""Every so manieth input is kept from the ranges, to judge by."""
_JUDGED = 32
"""Held-out inputs that a layer's sensitivity is measured on at most."""
_KINDS = ["Conv", "Gemm", "MatMul"]
_MOST_KEPT = 2
"""At most one in so many layers stays in float32: beyond, int8 gains nothing worth its error."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Quantised:
    """A network in int8.

    Attributes:
        network: the ONNX file.
        layers: how many could be in int8.
        kept: names of those that stay in float32, the most sensitive first.
        all_int8: least cosine to float32 on held-out inputs with every layer in int8.
        cosine: least cosine of this network on them.
    """

    network: bytes
    layers: int
    kept: tuple[str, ...]
    all_int8: float
    cosine: float


def require_calibration(crops: int) -> None:
    """Passes a number of crops that ranges can be measured on.

    Raises:
        InvalidInputError: CALIBRATION_TOO_SMALL.
    """
    if crops < MIN_CALIBRATION:
        raise InvalidInputError(
            "CALIBRATION_TOO_SMALL",
            f"{crops} crops are too few to measure ranges on; give at least {MIN_CALIBRATION}, better 500",
        )


def to_int8(weights: bytes, tensor: str, calibration: Tensor) -> bytes:
    """The network with weights and activations rounded to int8 around the convolutions and products that bear it.

    Args:
        weights: an ONNX file of float32, weights inside, whose first output is an embedding.
        tensor: name of its input.
        calibration: (N, 3, H, W) float32 inputs as they will come, N >= MIN_CALIBRATION.

    Raises:
        InvalidInputError: CALIBRATION_TOO_SMALL.
        ModelError: MODEL_UNREADABLE.
    """
    made = quantised(weights, tensor, calibration)
    _log.info(
        "network quantised",
        extra={
            "layers": made.layers,
            "kept_in_float32": list(made.kept),
            "cosine": round(made.cosine, 5),
            "cosine_all_int8": round(made.all_int8, 5),
        },
    )
    return made.network


def quantised(weights: bytes, tensor: str, calibration: Tensor) -> Quantised:
    """As `to_int8`, with what was found on the way.

    Symmetric, because TensorRT knows no zero points; weights per channel.
    """
    require_calibration(len(calibration))
    held_out = np.arange(len(calibration)) % _HELD_OUT == _HELD_OUT - 1
    network = _Network(_prepared(weights), tensor, calibration[~held_out])
    judge = _Judge(network.prepared, tensor, calibration[held_out])
    return _mixed(network, judge)


def sensitivities(network: _Network, judge: _Judge) -> dict[str, float]:
    """What each layer costs when it alone is in int8: 1 - the mean cosine to float32, the most sensitive first."""
    few = judge.first(_JUDGED)
    costs = {}
    for name in network.layers:
        others = [other for other in network.layers if other != name]
        costs[name] = 1 - float(few.cosines(network.with_float32(others)).mean())
    return dict(sorted(costs.items(), key=lambda cost: -cost[1]))


def _mixed(network: _Network, judge: _Judge) -> Quantised:
    made = network.with_float32([])
    all_int8 = cosine = float(judge.cosines(made).min())
    kept: list[str] = []
    if cosine < AIM:
        order = list(sensitivities(network, judge))
        for count in _counts(len(order) // _MOST_KEPT):
            kept = order[:count]
            made = network.with_float32(kept)
            cosine = float(judge.cosines(made).min())
            if cosine >= AIM:
                break
    return Quantised(made, len(network.layers), tuple(kept), all_int8, cosine)


def _counts(most: int) -> Iterator[int]:
    """1, 2, 3, 4, 6, 8, 12, 16, 24, ... and `most` at the end."""
    step, count = 1, 1
    while count < most:
        yield count
        step = max(1, (1 << count.bit_length()) >> 2)
        count += step
    if most:
        yield most


class _Network:
    """A float32 network and the ranges of its activations.

    Args:
        prepared: folded ONNX file.
        tensor: name of its input.
        inputs: (N, 3, H, W) float32, to measure ranges on.
    """

    def __init__(self, prepared: bytes, tensor: str, inputs: Tensor) -> None:
        import onnx

        self.prepared = prepared
        self._model = onnx.load_from_string(prepared)
        for number, node in enumerate(self._model.graph.node):
            node.name = node.name or f"{node.op_type}_{number}"
        self.layers = [node.name for node in self._model.graph.node if node.op_type in _KINDS]
        self._ranges = _ranges(self._model, tensor, inputs)

    def with_float32(self, kept: Sequence[str]) -> bytes:
        """The network in int8, except for these layers."""
        import onnx
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        copy = onnx.ModelProto()
        copy.CopyFrom(self._model)
        quantiser = QDQQuantizer(
            copy,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QInt8,
            tensors_range=self._ranges,
            nodes_to_quantize=[],
            nodes_to_exclude=list(kept),
            op_types_to_quantize=_KINDS,
            extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
        )
        with _silence():
            quantiser.quantize_model()
        return bytes(quantiser.model.model.SerializeToString())


class _Judge:
    """Compares embeddings with those of the network in float32.

    Args:
        prepared: the network in float32.
        tensor: name of its input.
        inputs: (N, 3, H, W) float32.
    """

    def __init__(self, prepared: bytes, tensor: str, inputs: Tensor, wanted: NDArray[np.float32] | None = None) -> None:
        self._prepared, self._tensor, self._inputs = prepared, tensor, inputs
        self._wanted = embeddings(prepared, tensor, inputs) if wanted is None else wanted

    def first(self, count: int) -> _Judge:
        """One that looks at the first inputs only."""
        return _Judge(self._prepared, self._tensor, self._inputs[:count], self._wanted[:count])

    def cosines(self, network: bytes) -> NDArray[np.float32]:
        """(N,) cosines of a network's embeddings to those in float32."""
        return np.asarray((embeddings(network, self._tensor, self._inputs) * self._wanted).sum(axis=1), np.float32)


def embeddings(network: bytes, tensor: str, inputs: Tensor) -> NDArray[np.float32]:
    """A network's embeddings in ONNX Runtime on the CPU: (N, D) float32, each row with L2 norm 1.

    Args:
        network: the ONNX file.
        tensor: name of its input.
        inputs: (N, 3, H, W) float32.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    found = np.concatenate([session.run(None, {tensor: chunk})[0] for chunk in _chunks(inputs)])
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(found / np.maximum(norms, np.finfo(np.float32).tiny), np.float32)


def _chunks(inputs: Tensor) -> list[Tensor]:
    return [np.ascontiguousarray(inputs[start : start + _CHUNK]) for start in range(0, len(inputs), _CHUNK)]


def _ranges(model: Any, tensor: str, inputs: Tensor) -> Any:  # noqa: ANN401 - onnx and ONNX Runtime have no types
    """Of every activation, the range that holds `PERCENTILE` of its values, by magnitude."""
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.calibrate import create_calibrator

    with tempfile.TemporaryDirectory() as folder, _silence():
        source = Path(folder) / "float.onnx"
        source.write_bytes(model.SerializeToString())
        calibrator = create_calibrator(
            source,
            _KINDS,
            str(Path(folder) / "augmented.onnx"),
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"symmetric": True, "num_bins": _BINS, "percentile": PERCENTILE},
        )
        # A few inputs at a time: all activations of all inputs would be gigabytes.
        for chunk in _chunks(inputs):
            calibrator.collect_data(_reader(tensor, chunk))
        return calibrator.compute_data()


def _silence() -> contextlib.redirect_stdout[io.StringIO]:
    """ONNX Runtime's quantiser prints as it goes."""
    return contextlib.redirect_stdout(io.StringIO())


def _prepared(weights: bytes) -> bytes:
    """The folded network with a note that it needs no preparation, which the quantiser would otherwise ask for."""
    import onnx

    model = onnx.load_from_string(folded(weights))
    onnx.helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
    return bytes(model.SerializeToString())


def _reader(tensor: str, chunk: Tensor) -> object:
    from onnxruntime.quantization import CalibrationDataReader

    class Once(CalibrationDataReader):  # type: ignore[misc]
        """Hands the inputs out once."""

        def __init__(self) -> None:
            self._waiting: list[Tensor] = [chunk]

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            """The inputs, then None."""
            return {tensor: self._waiting.pop()} if self._waiting else None

    return Once()
