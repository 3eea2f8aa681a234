"""What a model is judged and measured with: drawn faces, made into the batches that it gets at work.

Half of the faces are drawn clearly, half under bad light and with a sensor's noise. On the hard ones a runtime that
rounds strays further from the reference than on photographs, so that the gate errs on the strict side.

A GPU's library chooses its kernels for every shape profile of an engine, and one of them may be wrong alone. So the
probes go through all of those that a role can reach, with one picture alone and with several.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from server.domain import Image
from server.inference.backend import Tensor
from server.inference.choose import Job
from server.inference.engines.profiles import frame_sizes, workload_for
from server.inference.manifest import Manifest
from server.inference.parity import DetectorGate, EmbedderGate, ReadFaces
from server.vision.align import align
from server.vision.detect import DetectionRule, find_faces
from server.vision.portrait import draw_portrait, landmarks_of, portrait
from server.vision.preprocess import to_tensor

WINDOW_SIDE = 128
"""Side of a landmarker's window, pixels."""

_FACES = 8
_ALONE = 4
"""Of the faces, those that are also asked for one by one: a reference that takes long takes half as long again."""

_FRAMES = 2
"""In a batch of frames: the fewest that make one, since a frame costs the reference as much as many crops."""

_PEOPLE = 24
"""In a crowd at most: they stand further apart in larger frames, since drawing and comparing take time."""

_STEP = 5
"""By so many people a frame's crowd begins later than that of the frame before, so that no two frames are alike."""

_SMALL_SIDE = 64
"""Least side of a drawn frame, pixels: in smaller ones the default detectors find nobody."""

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
        return Job(EmbedderGate(_alone_too(crops)), (crops[:1], crops), lanes)
    part = manifest.as_detector()
    rule = DetectionRule(part.decoding, part.score_threshold, part.nms_iou)
    if role is Role.LANDMARKER:
        windows = landmarker_probes(manifest)
        batches = tuple(windows[:count] for count in (1, 2, 4))
        probes = _alone_too(windows)
    else:
        probes = detector_probes(manifest, detect_side)
        batches = probes[:1]
    gate = DetectorGate(probes, _reading(rule), rule.min_score, _reading(replace(rule, max_overlap=1.0)))
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


def detector_probes(manifest: Manifest, longest_side: int) -> tuple[Tensor, ...]:
    """Frames full of people, in sizes that go through all profiles of a detector's engine; 16 to 9 comes first.

    Returns:
        For each size a frame alone and in a batch of two, (1, 3, H, W) and (2, 3, H, W) float32.
    """
    drawn = cache(lambda seed, side: draw_portrait(portrait(seed), side))
    probes: list[Tensor] = []
    for height, width in _sizes(longest_side, manifest.input.size_multiple):
        crowds = [_crowd(width, height, _STEP * number, drawn) for number in range(_FRAMES)]
        frames = to_tensor(crowds, manifest.pixels())
        probes += (frames[:1], frames)
    return tuple(probes)


def landmarker_probes(manifest: Manifest) -> Tensor:
    """(8, 3, 128, 128) float32: windows with one drawn face each."""
    drawn = (draw_portrait(portrait(seed), _WINDOW_PORTRAIT_SIDE) for seed in range(8))
    return to_tensor([_padded(picture, WINDOW_SIDE, WINDOW_SIDE) for picture in drawn], manifest.pixels())


def _alone_too(batch: Tensor) -> tuple[Tensor, ...]:
    """The batch, and the first of it one by one."""
    return batch, *(batch[index : index + 1] for index in range(_ALONE))


def _sizes(longest_side: int, multiple: int) -> tuple[tuple[int, int], ...]:
    """(height, width) of frames, each once.

    Those of the usual cameras after letterboxing; half of 4 to 3, as a camera with fewer pixels sends it and no profile
    foresees; and a window's, since a frame may be just as large.
    """
    small = tuple(_rounded_up(max(_SMALL_SIDE, longest_side * share // 8), multiple) for share in (3, 4))
    window = _rounded_up(WINDOW_SIDE, multiple)
    usual = frame_sizes(workload_for(detect_side=longest_side), multiple)
    return tuple(dict.fromkeys((*usual, (small[0], small[1]), (window, window))))


def _rounded_up(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple


def _crowd(width: int, height: int, first: int, drawn: Callable[[int, int], Image]) -> Image:
    """People beside and below each other, evenly spread: (height, width, 3) uint8 BGR.

    Args:
        width: pixels.
        height: pixels.
        first: number of the person in the top left, who begins the row of all.
        drawn: the portrait of a person, by number and side.
    """
    cell = max(min(_CROWD_SIDE, width, height), math.ceil(math.sqrt(width * height / _PEOPLE)))
    columns, count = width // cell, (width // cell) * (height // cell)
    portraits = (drawn((first + number) % _PEOPLE, min(_CROWD_SIDE, cell)) for number in range(count))
    people = [_padded(picture, cell, cell) for picture in portraits]
    rows = [np.hstack(people[start : start + columns]) for start in range(0, count, columns)]
    return _padded(np.vstack(rows), width, height)


def _reading(rule: DetectionRule) -> ReadFaces:
    return lambda outputs, size: find_faces(outputs, rule, input_size=size)


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
