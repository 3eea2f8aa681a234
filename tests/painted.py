"""Painted faces and the two networks that see them: recognition that is exact, small and needs no weights.

A face is a square of 8x8 grey blocks with one coloured cell in its middle. The detector reads position, size and
score from that cell; the embedder reads the blocks. What a face is painted with is what its embedding will be, up to
rounding, so that tests choose distances between people instead of finding them. Both networks are real ONNX files
with real manifests, made in milliseconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from server.domain import Codec, ColourOrder, Decoding, EncodedImage
from server.inference.load import Runtime
from server.inference.manifest import WEIGHTS_FILE, Kind, Manifest, write_manifest
from server.inference.parts import Detector, Embedder, Input, OperatingPoint, Pixels, StatedSource
from server.pipeline.load import ModelChoice

DETECTOR, EMBEDDER = "painted-detector/v1", "painted-embedder/v1"
THRESHOLDS = (OperatingPoint(far=1e-4, distance=0.8, val=0.8), OperatingPoint(far=1e-2, distance=1.2, val=0.9))
CELL = 4
"""The detector looks at squares of so many pixels; a face's middle is the middle of one."""

_BLOCKS, _CROP = 8, 32
_LANDMARKS = ((0.3, 0.35), (0.7, 0.35), (0.5, 0.578), (0.336, 0.79), (0.664, 0.79))
"""Of a frontal face, in widths and heights of its box."""


def _patterns() -> NDArray[np.float32]:
    """(31, 8, 8) of -1 and 1: the Walsh patterns that a mirror leaves as they are, without the constant one."""
    walsh = np.ones((1, 1))
    while len(walsh) < _BLOCKS:
        walsh = np.block([[walsh, walsh], [walsh, -walsh]])
    symmetric = [row for row in walsh if (row == row[::-1]).all()]
    pairs = [np.outer(down, across) for down in walsh for across in symmetric]
    return np.asarray(pairs[1:], np.float32)


PATTERNS = _patterns()
DIMENSION = len(PATTERNS)


def person(number: int) -> tuple[float, ...]:
    """The embedding of one of 31 people who are all 2 apart."""
    return tuple(float(i == number) for i in range(DIMENSION))


def between(first: int, second: int, distance: float) -> tuple[float, ...]:
    """The embedding at this squared distance (0..2) from the first person, on the way to the second."""
    near = 1 - distance / 2
    return tuple(near * a + (1 - near**2) ** 0.5 * b for a, b in zip(person(first), person(second), strict=True))


def somebody(seed: int) -> tuple[float, ...]:
    """The embedding of one of very many people."""
    vector = np.random.default_rng(seed).normal(size=DIMENSION)
    return tuple((vector / np.linalg.norm(vector)).tolist())


@dataclass(frozen=True, slots=True)
class PaintedFace:
    """A face to paint.

    Attributes:
        embedding: what the embedder will say.
        side: of its box, pixels, an even number from 8 to 510; 64 is what the embedder reads best.
        score: what the detector will say.
        x: middle of the box, pixels; moved to the middle of a cell.
        y: middle of the box, pixels.
        brightness: mean grey level.
        contrast: strongest difference from it, grey levels; little of it looks blurred.
    """

    embedding: tuple[float, ...]
    side: int = 64
    score: float = 1.0
    x: int = 96
    y: int = 96
    brightness: int = 128
    contrast: int = 60

    @property
    def middle(self) -> tuple[int, int]:
        """Middle of the box in pixels."""
        return self.x // CELL * CELL + CELL // 2, self.y // CELL * CELL + CELL // 2


def paint(faces: Iterable[PaintedFace], *, width: int = 192, height: int = 192) -> NDArray[np.uint8]:
    """A grey picture with these faces, (height, width, 3) uint8 BGR; later faces cover earlier ones."""
    canvas = np.full((height, width, 3), 100, np.uint8)
    for face in faces:
        _paint_one(canvas, face)
    return canvas


def _paint_one(canvas: NDArray[np.uint8], face: PaintedFace) -> None:
    levels = np.tensordot(np.asarray(face.embedding, np.float32), PATTERNS, 1)
    levels *= face.contrast / np.abs(levels).max()
    blocks = np.clip(np.round(face.brightness + levels), 0, 255).astype(np.uint8)
    square = cv2.resize(blocks, (face.side, face.side), interpolation=cv2.INTER_NEAREST)
    x, y = face.middle
    left, top = x - face.side // 2, y - face.side // 2
    low_x, low_y = max(0, left), max(0, top)
    target = canvas[low_y : top + face.side, low_x : left + face.side]
    target[:] = square[low_y - top :, low_x - left :][: target.shape[0], : target.shape[1], None]
    half = CELL // 2
    canvas[y - half : y + half, x - half : x + half] = (0, face.side // 2, round(255 * face.score))


def png(picture: NDArray[np.uint8]) -> bytes:
    """The picture as PNG, which keeps every pixel."""
    return cv2.imencode(".png", picture)[1].tobytes()


def portrait(embedding: tuple[float, ...], **looks: float) -> bytes:
    """A PNG of one face; `looks` are attributes of `PaintedFace`."""
    return png(paint([replace(PaintedFace(embedding), **looks)]))  # type: ignore[arg-type]


def image(*faces: PaintedFace) -> EncodedImage:
    """A picture with these faces as the server's pipeline takes it."""
    return EncodedImage(Codec.PNG, png(paint(faces)))


# ---- the networks


def write_painted_models(models_dir: Path) -> Path:
    """Puts both models into a models directory, which is returned."""
    _write(models_dir, _detector_graph(), _detector_manifest)
    _write(models_dir, _embedder_graph(), _embedder_manifest)
    return models_dir


def painted_choice(models_dir: Path) -> ModelChoice:
    """What loads them."""
    return ModelChoice(
        models_dir=models_dir,
        detector=DETECTOR,
        landmarker="",
        embedder=EMBEDDER,
        runtime=Runtime.ONNXRUNTIME,
        threads=1,
        lanes=1,
        max_batch=8,
        detect_side=640,
    )


PAINTED_FLAGS = (
    "--runtime", "onnxruntime", "--detector", DETECTOR, "--landmarker", "", "--embedder", EMBEDDER, "--threads", "1",
)  # fmt: skip
"""Flags of a server that uses them."""


def _detector_graph() -> bytes:
    """CenterFace's four outputs from the mean colour of each cell: score from red less blue, side from green."""
    from onnx import helper

    nodes = [
        helper.make_node("AveragePool", ["pictures"], ["mean"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
        helper.make_node("Conv", ["mean", "red_less_blue"], ["heat"]),
        helper.make_node("Conv", ["mean", "half_green"], ["cells"]),
        helper.make_node("Max", ["cells", "least"], ["some_cells"]),
        helper.make_node("Log", ["some_cells"], ["scale"]),
        helper.make_node("Conv", ["mean", "nothing"], ["offset"]),
        helper.make_node("Conv", ["mean", "ten_times_nothing", "places"], ["landmarks"]),
    ]
    filters = {
        "red_less_blue": [[-1 / 255, 0, 1 / 255]],
        "half_green": [[0, 2 / CELL, 0]] * 2,
        "nothing": [[0, 0, 0]] * 2,
        "ten_times_nothing": [[0, 0, 0]] * 10,
    }
    weights = {name: np.asarray(rows, np.float32)[:, :, None, None] for name, rows in filters.items()}
    weights["least"] = np.asarray(0.1, np.float32)
    weights["places"] = np.asarray([value for x, y in _LANDMARKS for value in (y, x)], np.float32)
    outputs = {"heat": 1, "scale": 2, "offset": 2, "landmarks": 10}
    return _onnx(nodes, weights, None, {name: (count, "rows", "columns") for name, count in outputs.items()})


def _embedder_graph() -> bytes:
    """The share of each pattern in the mean grey levels of the blocks."""
    from onnx import helper

    block = _CROP // _BLOCKS
    nodes = [
        helper.make_node("AveragePool", ["pictures"], ["blocks"], kernel_shape=[block, block], strides=[block, block]),
        helper.make_node("Flatten", ["blocks"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["embedding"]),
    ]
    one_channel = PATTERNS.reshape(DIMENSION, -1).T
    matrix = np.concatenate([one_channel] * 3).astype(np.float32)
    return _onnx(nodes, {"matrix": matrix}, _CROP, {"embedding": (DIMENSION,)})


def _onnx(
    nodes: list, weights: dict[str, NDArray[np.float32]], side: int | None, outputs: dict[str, tuple[int | str, ...]]
) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    shape = ["n", 3, side or "height", side or "width"]
    graph = helper.make_graph(
        nodes,
        "painted",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *rest]) for name, rest in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def _detector_manifest(sha256: str) -> Manifest:
    return _manifest(
        DETECTOR,
        sha256,
        kind=Kind.DETECTOR,
        input=Input(tensor="pictures", width=None, height=None, size_multiple=CELL, pixels=_pixels()),
        detector=Detector(
            decoding=Decoding.CENTERFACE,
            outputs=("heat", "scale", "offset", "landmarks"),
            score_threshold=0.5,
            nms_iou=0.3,
        ),
    )


def _embedder_manifest(sha256: str) -> Manifest:
    return _manifest(
        EMBEDDER,
        sha256,
        kind=Kind.EMBEDDER,
        input=Input(tensor="pictures", width=_CROP, height=_CROP, pixels=_pixels()),
        embedder=Embedder(
            output="embedding",
            dimension=DIMENSION,
            template=tuple((x * _CROP, y * _CROP) for x, y in _LANDMARKS),  # type: ignore[arg-type]
            operating_points=THRESHOLDS,
            fitted_on="nothing",
        ),
    )


def _manifest(model: str, sha256: str, **parts) -> Manifest:
    name, _, version = model.partition("/")
    return Manifest(
        name=name,
        version=version,
        licence="CC0-1.0",
        attribution="facestream",
        source=StatedSource(text="tests.painted"),
        sha256=sha256,
        **parts,
    )


def _pixels() -> Pixels:
    return Pixels(colour=ColourOrder.BGR)


def _write(models_dir: Path, weights: bytes, manifest_for) -> None:
    manifest = manifest_for(hashlib.sha256(weights).hexdigest())
    folder = models_dir / manifest.name / manifest.version
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS_FILE).write_bytes(weights)
    write_manifest(folder, manifest)
