"""A detector's raw outputs to faces: decoding, score filter and non-maximum suppression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from server.domain import Decoding, Faces

Floats = NDArray[np.float32]

_YUNET_STRIDES = (8, 16, 32)
_CENTERFACE_STRIDE = 4
_ROUNDING = 1e-4
"""Share of slack for a cell at the bar, whose product and square root are rounded differently."""


@dataclass(frozen=True, slots=True)
class DetectionRule:
    """Which detections count as faces.

    Attributes:
        decoding: layout of the outputs.
        min_score: least confidence, 0..1.
        max_overlap: of two boxes with a greater intersection over union, the weaker goes.
    """

    decoding: Decoding
    min_score: float
    max_overlap: float


def find_faces(outputs: Sequence[Floats], rule: DetectionRule, *, input_size: tuple[int, int]) -> list[Faces]:
    """The faces of each image of a batch, in pixels of the network's input, the most confident first.

    Args:
        outputs: the network's outputs in the manifest's order, each with the batch first.
        rule: what counts.
        input_size: width and height of the network's input in pixels.
    """
    decode: Callable[[Sequence[Floats], tuple[int, int], float], Faces]
    decode = {Decoding.YUNET: _yunet, Decoding.CENTERFACE: _centerface}[rule.decoding]
    found = []
    for i in range(len(outputs[0])):
        candidates = decode([output[i] for output in outputs], input_size, rule.min_score)
        found.append(suppress(candidates, rule.max_overlap))
    return found


def suppress(faces: Faces, max_overlap: float) -> Faces:
    """Greedy non-maximum suppression: the most confident first, without those that overlap one before."""
    if len(faces) == 0:
        return faces
    left_top, right_bottom = faces.boxes[:, :2], faces.boxes[:, 2:]
    boxes = np.concatenate([left_top, right_bottom - left_top], axis=1)
    kept = cv2.dnn.NMSBoxes(boxes.tolist(), faces.scores.tolist(), 0.0, max_overlap)
    return faces.take(np.asarray(kept, np.intp).reshape(-1))


def _yunet(outputs: Sequence[Floats], input_size: tuple[int, int], min_score: float) -> Faces:
    """YuNet (Wu et al. 2023): per stride 8, 16, 32 the class, object, box and landmark planes.

    Score = sqrt(class * object); box centre = (cell + offset) * stride, size = exp(.) * stride; landmark = (cell +
    offset) * stride, in the order right eye, left eye, nose, right and left mouth corner of the person, which is
    left to right in the picture.
    """
    width, _ = input_size
    bar = min_score * min_score * (1 - _ROUNDING)
    parts = []
    for i, stride in enumerate(_YUNET_STRIDES):
        classes, objects, boxes, points = (
            outputs[i + 3 * kind].reshape(-1, size) for kind, size in enumerate((1, 1, 4, 10))
        )
        hit = np.flatnonzero(classes * objects >= bar)  # no cell whose score suffices is missed, and few are left
        scores = np.sqrt(np.clip(classes[hit, 0], 0, 1) * np.clip(objects[hit, 0], 0, 1))
        enough = scores >= min_score
        hit, scores = hit[enough], scores[enough]
        row, column = np.divmod(hit, width // stride)
        cell = np.stack([column, row], axis=1).astype(np.float32)
        centre = (cell + boxes[hit, :2]) * stride
        half = np.exp(boxes[hit, 2:]) * stride / 2
        landmarks = (cell[:, None] + points[hit].reshape(-1, 5, 2)) * stride
        parts.append((np.concatenate([centre - half, centre + half], axis=1), landmarks, scores))
    boxes, landmarks, scores = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Faces(boxes, landmarks, scores)


def _centerface(outputs: Sequence[Floats], input_size: tuple[int, int], min_score: float) -> Faces:
    """CenterFace (Xu et al. 2019): heat map, log-scale, offset and landmark planes at stride 4."""
    heat, log_scale, offset, points = outputs
    row, column = np.nonzero(heat[0] >= min_score)
    height, width = np.exp(log_scale[:, row, column]) * _CENTERFACE_STRIDE
    centre_y = (row + offset[0, row, column] + 0.5) * _CENTERFACE_STRIDE
    centre_x = (column + offset[1, row, column] + 0.5) * _CENTERFACE_STRIDE
    limit_x, limit_y = input_size
    left = np.clip(centre_x - width / 2, 0, limit_x)
    top = np.clip(centre_y - height / 2, 0, limit_y)
    right = np.minimum(left + width, limit_x)
    bottom = np.minimum(top + height, limit_y)
    boxes = np.stack([left, top, right, bottom], axis=1).astype(np.float32)
    planes = points[:, row, column].reshape(5, 2, -1)
    x = planes[:, 1] * width + left
    y = planes[:, 0] * height + top
    landmarks = np.stack([x, y], axis=-1).transpose(1, 0, 2).astype(np.float32)
    return Faces(boxes, landmarks, heat[0, row, column].astype(np.float32))
