"""Tiny models for tests of everything that needs a model folder but no recognition: built in milliseconds.

Their outputs are known: `embedder_outputs` and `detector_outputs` compute them in numpy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from server.domain import ColourOrder, Decoding
from server.inference.backend import Tensor
from server.inference.manifest import WEIGHTS_FILE, Kind, Manifest, write_manifest
from server.inference.parts import Detector, Embedder, Input, OperatingPoint, Pixels, StatedSource

if TYPE_CHECKING:
    from onnx import NodeProto

SIDE = 8
DIMENSION = 4
VERSION = "v1"
_CHANNELS = {"heat": 1, "scale": 2, "offset": 2, "landmarks": 10}
_LICENCE = "CC0-1.0"


def write_tiny_embedder(models_dir: Path) -> Path:
    """The folder tiny-embedder/v1: a random projection of 8x8 RGB crops to 4 numbers."""
    from onnx import helper

    nodes = [
        helper.make_node("Flatten", ["crops"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["embedding"]),
    ]
    weights = _onnx(nodes, {"matrix": _matrix()}, ("crops", SIDE), {"embedding": (DIMENSION,)})
    manifest = Manifest(
        name="tiny-embedder",
        version=VERSION,
        kind=Kind.EMBEDDER,
        input=Input(tensor="crops", width=SIDE, height=SIDE, pixels=_pixels()),
        embedder=Embedder(
            output="embedding",
            dimension=DIMENSION,
            template=((2.5, 3.0), (5.5, 3.0), (4.0, 4.5), (3.0, 6.0), (5.0, 6.0)),
            operating_points=(OperatingPoint(far=1e-3, distance=1.0, val=0.5),),
            fitted_on="nothing",
        ),
        licence=_LICENCE,
        attribution="facestream",
        source=StatedSource(text="server.models.tiny"),
        sha256=hashlib.sha256(weights).hexdigest(),
    )
    return _write(models_dir, weights, manifest)


def write_tiny_detector(models_dir: Path) -> Path:
    """The folder tiny-detector/v1: shaped like CenterFace, a linear function of each 4x4 pixels' mean."""
    from onnx import helper

    nodes = [helper.make_node("AveragePool", ["pictures"], ["mean"], kernel_shape=[4, 4], strides=[4, 4])]
    nodes += [helper.make_node("Conv", ["mean", f"{name}_filters"], [name]) for name in _CHANNELS]
    stored = {f"{name}_filters": filters[:, :, None, None] for name, filters in _filters().items()}
    outputs = {name: (count, "rows", "columns") for name, count in _CHANNELS.items()}
    weights = _onnx(nodes, stored, ("pictures", None), outputs)
    manifest = Manifest(
        name="tiny-detector",
        version=VERSION,
        kind=Kind.DETECTOR,
        input=Input(tensor="pictures", width=None, height=None, size_multiple=4, pixels=_pixels()),
        detector=Detector(decoding=Decoding.CENTERFACE, outputs=tuple(outputs), score_threshold=0.5, nms_iou=0.3),
        licence=_LICENCE,
        attribution="facestream",
        source=StatedSource(text="server.models.tiny"),
        sha256=hashlib.sha256(weights).hexdigest(),
    )
    return _write(models_dir, weights, manifest)


def embedder_outputs(batch: Tensor) -> tuple[Tensor, ...]:
    """What the tiny embedder makes of (N, 3, 8, 8)."""
    return (np.asarray(batch.reshape(len(batch), -1) @ _matrix(), np.float32),)


def detector_outputs(batch: Tensor) -> tuple[Tensor, ...]:
    """What the tiny detector makes of (N, 3, H, W)."""
    count, _, height, width = batch.shape
    means = batch.reshape(count, 3, height // 4, 4, width // 4, 4).mean((3, 5))
    return tuple(np.einsum("oc,nchw->nohw", filters, means).astype(np.float32) for filters in _filters().values())


def _matrix() -> NDArray[np.float32]:
    values = np.random.default_rng(1).normal(0, 1 / 128, (3 * SIDE * SIDE, DIMENSION))
    return values.astype(np.float32)


def _filters() -> dict[str, NDArray[np.float32]]:
    generator = np.random.default_rng(2)
    return {name: generator.normal(0, 1 / 128, (count, 3)).astype(np.float32) for name, count in _CHANNELS.items()}


def _pixels() -> Pixels:
    return Pixels(colour=ColourOrder.RGB, mean=(127.5, 127.5, 127.5))


def _onnx(
    nodes: list[NodeProto],
    weights: Mapping[str, NDArray[np.float32]],
    source: tuple[str, int | None],
    outputs: Mapping[str, tuple[int | str, ...]],
) -> bytes:
    """The bytes of an ONNX file with one input (name, side or None for any size) and a free batch."""
    from onnx import TensorProto, helper, numpy_helper

    name, side = source
    shape: list[str | int | None] = ["n", 3, side or "height", side or "width"]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(key, TensorProto.FLOAT, ["n", *rest]) for key, rest in outputs.items()],
        [numpy_helper.from_array(array, key) for key, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString(deterministic=True))


def _write(models_dir: Path, weights: bytes, manifest: Manifest) -> Path:
    folder = models_dir / manifest.name / manifest.version
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS_FILE).write_bytes(weights)
    write_manifest(folder, manifest)
    return folder
