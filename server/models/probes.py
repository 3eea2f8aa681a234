"""What a model is judged and measured with: drawn faces, made into the batches that it gets at work.

Half of the faces are drawn clearly, half under bad light and with a sensor's noise. On the hard ones a runtime that
rounds strays further from the reference than on photographs, so that the gate errs on the strict side.

A GPU's library chooses its kernels for every shape profile of an engine, and one of them may be wrong alone. So the
probes go through all of those that a role can reach, with one picture alone and with several.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum
from functools import cache, lru_cache
from typing import TypeAlias, overload

import cv2
import numpy as np
from numpy.typing import NDArray

from server.domain import Image
from server.inference.backend import Tensor
from server.inference.choose import Job
from server.inference.engines.profiles import frame_sizes, rounded_up, workload_for
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
"""In one part of a frame at most: they stand further apart in larger frames, since drawing and comparing take time."""

_STEP = 5
"""By so many people a frame's crowd begins later than that of the frame before, so that no two frames are alike."""

_Size: TypeAlias = tuple[int, int]
"""Height and width of frames."""

_SMALL_SIDE = 64
"""Least side of a drawn frame, pixels: in smaller ones the default detectors find nobody."""

_ALONE_ABOVE = 1280
"""Above this detection size, pixels, frames are not also asked for in twos: they take seconds and hundreds of MB."""

_PORTRAIT_SIDE = 160
_CROWD_SIDE, _MIDDLE_SIDE, _LARGE_SIDE = 96, 288, 576
"""Of portraits in a frame, pixels: heads of 50, 150 and 300 pixels. A detector may have other layers for each."""

_COARSE_SIDE = 192
"""From this side on a portrait is found by YuNet's coarse layers, at stride 32."""

_NEAR = 1.625
"""A portrait of so many sides of the picture shows hardly more than the head, which fills four fifths of it."""

_WINDOW_PORTRAIT_SIDE = 96
"""Of a portrait in a landmarker's window: its face fills half of it, unless it is near."""

_NEAR_PEOPLE = (1, 3, 5)
"""Those whom the default detectors are sure of even when they are that near."""


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
    probes: Sequence[Tensor]
    if role is Role.LANDMARKER:
        windows = landmarker_probes(manifest)
        batches = tuple(windows[:count] for count in (1, 2, 4))
        probes = _alone_too(windows)
    else:
        probes = detector_probes(manifest, detect_side)
        batches = (probes[0],)
    propose = _reading(replace(rule, max_overlap=1.0))
    gate = DetectorGate(probes, _reading(rule), rule.min_score, propose, rule.max_overlap)
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


class _Frames(Sequence[Tensor]):
    """Batches of frames that are drawn when they are asked for, since those of all sizes would take much memory.

    Args:
        draw: all frames of a (height, width), (N, 3, H, W) float32.
        cuts: of each batch the size, and which of its frames.
    """

    def __init__(self, draw: Callable[[_Size], Tensor], cuts: Sequence[tuple[_Size, slice]]) -> None:
        self._draw = lru_cache(maxsize=1)(draw)
        self._cuts = tuple(cuts)

    def __len__(self) -> int:
        return len(self._cuts)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Tensor, ...]: ...
    def __getitem__(self, index: int | slice) -> Tensor | tuple[Tensor, ...]:
        if isinstance(index, slice):
            return tuple(self[number] for number in range(*index.indices(len(self))))
        size, cut = self._cuts[index]
        return self._draw(size)[cut]


def detector_probes(manifest: Manifest, longest_side: int) -> Sequence[Tensor]:
    """Frames full of people, in sizes that go through all profiles of a detector's engine; 16 to 9 comes first.

    Returns:
        For each size a frame alone and in a batch of two, (1, 3, H, W) and (2, 3, H, W) float32; where a frame is too
        small for people of all sizes both frames alone; in large ones no batch.
    """
    drawn = cache(lambda seed, side: draw_portrait(portrait(seed), side))
    count = 1 if longest_side > _ALONE_ABOVE else _FRAMES

    def draw(size: _Size) -> Tensor:
        height, width = size
        return to_tensor([_frame(width, height, number, drawn) for number in range(count)], manifest.pixels())

    cuts: list[tuple[_Size, slice]] = []
    for height, width in _sizes(longest_side, manifest.input.size_multiple):
        alone = 1 if _roomy(width, height) else count
        parts = [slice(number, number + 1) for number in range(alone)] + [slice(0, count)] * (count > 1)
        cuts += (((height, width), part) for part in parts)
    return _Frames(draw, cuts)


def landmarker_probes(manifest: Manifest) -> Tensor:
    """(8, 3, 128, 128) float32: windows with one drawn face each, some of which fill them."""
    drawn = (round(WINDOW_SIDE * _NEAR) if seed in _NEAR_PEOPLE else _WINDOW_PORTRAIT_SIDE for seed in range(_FACES))
    pictures = (draw_portrait(portrait(seed), side) for seed, side in enumerate(drawn))
    return to_tensor([_padded(picture, WINDOW_SIDE, WINDOW_SIDE) for picture in pictures], manifest.pixels())


def _alone_too(batch: Tensor) -> tuple[Tensor, ...]:
    """The batch, and the first of it one by one."""
    return batch, *(batch[index : index + 1] for index in range(_ALONE))


def _sizes(longest_side: int, multiple: int) -> tuple[tuple[int, int], ...]:
    """(height, width) of frames, each once.

    Those of the usual cameras after letterboxing; half of 4 to 3, as a camera with fewer pixels sends it and no profile
    foresees; and a window's, since a frame may be just as large.
    """
    small = tuple(rounded_up(max(_SMALL_SIDE, longest_side * share // 8), multiple) for share in (3, 4))
    window = rounded_up(WINDOW_SIDE, multiple)
    usual = frame_sizes(workload_for(detect_side=longest_side), multiple)
    return tuple(dict.fromkeys((*usual, (small[0], small[1]), (window, window))))


def _large_side(width: int, height: int) -> int:
    """Side of the largest people in a frame, pixels: they leave room for others beside them."""
    return min(_LARGE_SIDE, width, height, max(width, height) * 5 // 8)


def _roomy(width: int, height: int) -> bool:
    """Whether a frame has room for people of all sizes."""
    return _large_side(width, height) >= _COARSE_SIDE


def _frame(width: int, height: int, number: int, drawn: Callable[[int, int], Image]) -> Image:
    """People near and far, (height, width, 3) uint8 BGR; where there is no room for both, near ones in every second.

    Args:
        width: pixels.
        height: pixels.
        number: of the frame.
        drawn: the portrait of a person, by number and side.
    """
    first = _STEP * number
    if not _roomy(width, height):
        if number % 2 == 0:
            return _crowd(width, height, first, _CROWD_SIDE, drawn)
        return _padded(drawn(_NEAR_PEOPLE[0], round(min(width, height) * _NEAR)), width, height)
    upright = height > width
    longer, shorter, large = max(width, height), min(width, height), _large_side(width, height)

    def part(along: int, across: int, first: int, side: int) -> Image:
        size = (across, along) if upright else (along, across)
        return _crowd(*size, first, side, drawn)

    spare, rest, half = shorter % large, longer - large, shorter // 2
    below = spare if spare >= _CROWD_SIDE else 0
    nearest = [part(large, shorter - below, first, large)]
    if below:
        nearest.append(part(large, below, first + 1, _CROWD_SIDE))
    if min(rest, half) >= _COARSE_SIDE:
        others = [part(rest, half, first + 2, _MIDDLE_SIDE), part(rest, shorter - half, first + 3, _CROWD_SIDE)]
    else:
        others = [part(rest, shorter, first + 2, _CROWD_SIDE)]
    across, along = (1, 0) if upright else (0, 1)
    return np.concatenate([np.concatenate(nearest, across), np.concatenate(others, across)], along)


def _crowd(width: int, height: int, first: int, side: int, drawn: Callable[[int, int], Image]) -> Image:
    """People of one size beside and below each other, evenly spread: (height, width, 3) uint8 BGR.

    Args:
        width: pixels.
        height: pixels.
        first: number of the person in the top left, who begins the row of all.
        side: of a portrait where it fits, pixels.
        drawn: the portrait of a person, by number and side.
    """
    cell = max(min(side, width, height), math.ceil(math.sqrt(width * height / _PEOPLE)))
    columns, count = width // cell, (width // cell) * (height // cell)
    portraits = (drawn((first + number) % _PEOPLE, min(side, cell)) for number in range(count))
    people = [_padded(picture, cell, cell) for picture in portraits]
    rows = [np.hstack(people[start : start + columns]) for start in range(0, count, columns)]
    return _padded(np.vstack(rows), width, height)


def _reading(rule: DetectionRule) -> ReadFaces:
    return lambda outputs, size: find_faces(outputs, rule, input_size=size)


def _padded(picture: Image, width: int, height: int) -> Image:
    """The picture's middle, as much as fits, in a larger one whose border repeats its edge."""
    cut_x, cut_y = max(0, picture.shape[1] - width) // 2, max(0, picture.shape[0] - height) // 2
    picture = picture[cut_y : cut_y + height, cut_x : cut_x + width]
    spare_x, spare_y = width - picture.shape[1], height - picture.shape[0]
    left, top = spare_x // 2, spare_y // 2
    return np.asarray(
        cv2.copyMakeBorder(picture, top, spare_y - top, left, spare_x - left, cv2.BORDER_REPLICATE), np.uint8
    )


def _badly_taken(crop: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """The crop with another contrast and brightness, and noise."""
    draw = np.random.default_rng(seed)
    levels = (crop.astype(np.float32) - 128) * draw.uniform(0.3, 1.6) + 128 + draw.uniform(-50, 50)
    return np.clip(levels + draw.normal(0, draw.uniform(5, 45), crop.shape), 0, 255).astype(np.uint8)
