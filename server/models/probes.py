"""What a model is judged and measured with: drawn faces, made into the batches that it gets at work.

Half of the faces are drawn clearly, half under bad light and with a sensor's noise. On the hard ones a runtime that
rounds strays further from the reference than on photographs, so that the gate errs on the strict side.
"""

from __future__ import annotations

from enum import Enum

import cv2
import numpy as np
from numpy.typing import NDArray

from server.domain import Image
from server.inference.backend import Tensor
from server.inference.choose import Job
from server.inference.manifest import Manifest
from server.inference.parity import DetectorGate, EmbedderGate
from server.vision.align import align
from server.vision.detect import DetectionRule, find_faces
from server.vision.portrait import draw_crowd, draw_portrait, landmarks_of, portrait
from server.vision.preprocess import fit, letterbox_for, to_tensor

WINDOW_SIDE = 128
"""Side of a landmarker's window, pixels."""

_FACES = 8
_PORTRAIT_SIDE = 160
_CROWD_SIDE = 96
"""Of a portrait in a crowd, pixels: heads of 50 pixels, which the default detectors are most sure of."""

_WINDOW_PORTRAIT_SIDE = 96
"""Of a portrait in a landmarker's window: its face fills half of it."""


class Role(Enum):
    """What a model does in the server; the values are the names in the API."""

    DETECTOR = "detector"
    LANDMARKER = "landmarker"
    EMBEDDER = "embedder"


def job_of(manifest: Manifest, role: Role, *, detect_side: int, lanes: int) -> Job:
    """What a model in this role is judged and measured with.

    Args:
        manifest: of the model.
        role: what it is to do.
        detect_side: longer side of the pictures that a detector gets, pixels.
        lanes: batches that run beside each other.

    Raises:
        ModelError: MODEL_KIND_WRONG when it can't have this role.
    """
    if role is Role.EMBEDDER:
        crops = embedder_probes(manifest)
        return Job(EmbedderGate((crops,)), (crops[:1], crops), lanes)
    part = manifest.as_detector()
    rule = DetectionRule(part.decoding, part.score_threshold, part.nms_iou)
    if role is Role.LANDMARKER:
        windows = landmarker_probes(manifest)
        batches = tuple(windows[:count] for count in (1, 2, 4))
        probes: tuple[Tensor, ...] = (windows,)
    else:
        batches = probes = (detector_probes(manifest, detect_side),)
    gate = DetectorGate(probes, lambda outputs, size: find_faces(outputs, rule, input_size=size), rule.min_score)
    return Job(gate, batches, lanes)


def embedder_probes(manifest: Manifest) -> Tensor:
    """(8, 3, H, W) float32: aligned crops of different drawn faces.

    Raises:
        ModelError: MODEL_KIND_WRONG when the model is no embedder.
    """
    template = manifest.template()
    crops = []
    for seed in range(_FACES):
        face = portrait(seed)
        landmarks = landmarks_of(face, _PORTRAIT_SIDE)[None]
        (crop,) = align(draw_portrait(face, _PORTRAIT_SIDE), landmarks, template)
        crops.append(crop if seed % 2 else _badly_taken(crop, seed))
    return to_tensor(crops, manifest.pixels())


def detector_probes(manifest: Manifest, longest_side: int) -> Tensor:
    """(1, 3, H, W) float32: a picture of 16 to 9 full of people, as the server would shrink it."""
    columns = max(1, longest_side // _CROWD_SIDE)
    rows = max(1, longest_side * 9 // 16 // _CROWD_SIDE)
    crowd = draw_crowd(range(columns * rows), columns=columns, side=_CROWD_SIDE)
    canvas = _padded(crowd, longest_side, max(longest_side * 9 // 16, crowd.shape[0]))
    box = letterbox_for(canvas, longest_side=longest_side, multiple=manifest.input.size_multiple)
    return to_tensor([fit(canvas, box)], manifest.pixels())


def landmarker_probes(manifest: Manifest) -> Tensor:
    """(8, 3, 128, 128) float32: windows with one drawn face each."""
    drawn = (draw_portrait(portrait(seed), _WINDOW_PORTRAIT_SIDE) for seed in range(8))
    return to_tensor([_padded(picture, WINDOW_SIDE, WINDOW_SIDE) for picture in drawn], manifest.pixels())


def _padded(picture: Image, width: int, height: int) -> Image:
    """The picture in the middle of a larger one whose border repeats its edge."""
    spare_x, spare_y = max(0, width - picture.shape[1]), max(0, height - picture.shape[0])
    left, top = spare_x // 2, spare_y // 2
    return np.asarray(
        cv2.copyMakeBorder(picture, top, spare_y - top, left, spare_x - left, cv2.BORDER_REPLICATE), np.uint8
    )


def _badly_taken(crop: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """The crop with another contrast and brightness, and noise."""
    draw = np.random.default_rng(seed)
    levels = (crop.astype(np.float32) - 128) * draw.uniform(0.3, 1.6) + 128 + draw.uniform(-50, 50)
    return np.clip(levels + draw.normal(0, draw.uniform(5, 45), crop.shape), 0, 255).astype(np.uint8)
