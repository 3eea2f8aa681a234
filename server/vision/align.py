"""Landmarks to aligned crops: the similarity transform that lays five landmarks on a template."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from server.domain import AlignmentTemplate, Image

_MIN_SCALE = 0.5
"""Bilinear sampling skips source pixels below this; the picture is shrunk by area averaging first."""


def similarities(landmarks: NDArray[np.float32], template: AlignmentTemplate) -> NDArray[np.float64]:
    """The similarity transforms (rotation, one scale, shift) that best lay landmarks on the template.

    Least squares over the five points, without reflection (Umeyama 1991). Points are complex numbers x + iy, so that
    a similarity is z -> m z + t and the best m is a ratio of two sums.

    Args:
        landmarks: (N, 5, 2) float32, pixels of the image.
        template: target points, pixels of the crop.

    Returns:
        (N, 2, 3) float64 matrices from image to crop. Landmarks that coincide give a matrix of zeros and the
        template's centre: a crop of one colour.
    """
    source = landmarks[..., 0] + 1j * landmarks[..., 1].astype(np.float64)
    points = np.asarray(template.points, np.float64)
    target = points[:, 0] + 1j * points[:, 1]
    centred = source - source.mean(axis=1, keepdims=True)
    spread = np.sum(np.abs(centred) ** 2, axis=1)
    turn = np.sum(np.conj(centred) * (target - target.mean()), axis=1) / np.where(spread > 0, spread, 1)
    shift = target.mean() - turn * source.mean(axis=1)
    rows = [[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]]
    return np.moveaxis(np.asarray(rows), -1, 0)


def align(image: Image, landmarks: NDArray[np.float32], template: AlignmentTemplate) -> NDArray[np.uint8]:
    """Aligned crops of the faces in an image.

    Args:
        image: (H, W, 3) uint8 BGR.
        landmarks: (N, 5, 2) float32, pixels of the image.
        template: size of the crops and where the landmarks go.

    Returns:
        (N, template.height, template.width, 3) uint8 BGR; black where a crop reaches beyond the image.
    """
    crops = np.zeros((len(landmarks), template.height, template.width, 3), np.uint8)
    for crop, matrix in zip(crops, similarities(landmarks, template), strict=True):
        warp(image, matrix, crop)
    return crops


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a crop is sampled: on a grid of area means over a part of the image.

    Attributes:
        matrix: (2, 3) float64, from the grid to the crop, pixels.
        low: the part's left top corner in the image, x and y, pixels.
        high: one beyond its right bottom corner.
        size: width and height of the grid.
    """

    matrix: NDArray[np.float64]
    low: tuple[int, int]
    high: tuple[int, int]
    size: tuple[int, int]

    @property
    def part(self) -> tuple[int, int]:
        """Width and height of the part, pixels of the image."""
        return self.high[0] - self.low[0], self.high[1] - self.low[1]

    @property
    def step(self) -> tuple[float, float]:
        """Pixels of the image between two points of the grid, x and y; 1 unless it shrinks."""
        return self.part[0] / self.size[0], self.part[1] / self.size[1]


def sampling_of(image_size: Sequence[int], matrix: NDArray[np.float64], crop_size: Sequence[int]) -> Sampling:
    """How `warp` samples.

    Args:
        image_size: (height, width) of the image, pixels.
        matrix: (2, 3) from image to crop.
        crop_size: (height, width) of the crop, pixels.
    """
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if 0 < scale < _MIN_SCALE:
        return _shrinking(image_size, matrix, crop_size, scale / _MIN_SCALE)
    whole = image_size[1], image_size[0]
    return Sampling(matrix, (0, 0), whole, whole)


def sampling_rows(
    image_size: Sequence[int], matrices: Sequence[NDArray[np.float64]], crop_size: Sequence[int]
) -> NDArray[np.float32]:
    """How `warp` samples each of N crops, as numbers for a program that does it elsewhere, such as a GPU's kernel.

    Args:
        image_size: (height, width) of the image, pixels.
        matrices: N matrices (2, 3) from image to crop.
        crop_size: (height, width) of the crops, pixels.

    Returns:
        (N, 12) float32: the matrix from crop to grid, row by row; where the grid begins in the image, x and y; its
        steps, pixels, x and y; its width and height. A matrix without an inverse, as of landmarks that coincide,
        becomes zeros, as cv2 has it.
    """
    rows = np.zeros((len(matrices), 12), np.float64)
    for row, matrix in zip(rows, matrices, strict=True):
        how = sampling_of(image_size, matrix, crop_size)
        if np.linalg.det(how.matrix[:, :2]) != 0:
            inverse = np.linalg.inv(how.matrix[:, :2])
            row[:6] = np.concatenate([inverse, -inverse @ how.matrix[:, 2:]], axis=1).reshape(-1)
        row[6:] = *how.low, *how.step, *how.size
    return rows.astype(np.float32)


def warp(image: Image, matrix: NDArray[np.float64], crop: Image) -> None:
    """Fills a crop with what a (2, 3) matrix from image to crop brings there; anti-aliased when shrinking."""
    how = sampling_of(image.shape[:2], matrix, crop.shape[:2])
    grid = image[how.low[1] : how.high[1], how.low[0] : how.high[0]]
    if how.size != how.part:
        grid = np.asarray(cv2.resize(grid, how.size, interpolation=cv2.INTER_AREA), np.uint8)
    size = (crop.shape[1], crop.shape[0])
    cv2.warpAffine(grid, how.matrix, size, dst=crop, flags=cv2.INTER_LINEAR)


def _shrinking(
    image_size: Sequence[int], matrix: NDArray[np.float64], crop_size: Sequence[int], factor: float
) -> Sampling:
    """The part of the image that the crop shows, shrunk by area averaging.

    In plain numbers: on so few, numpy takes several times as long, for each face of each frame.
    """
    (a, b, right), (c, d, down) = matrix.tolist()
    crop = [(x - right, y - down) for x in (0, crop_size[1]) for y in (0, crop_size[0])]
    area = a * d - b * c
    corners = [(d * x - b * y) / area for x, y in crop], [(a * y - c * x) / area for x, y in crop]
    sides = image_size[1], image_size[0]
    (left, width), (top, height) = (_span(along, side) for along, side in zip(corners, sides, strict=True))
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    # cv2 counts from pixel centres: image x = (small x + 0.5) / factor - 0.5 + left
    across, along = width / size[0], height / size[1]
    x, y = across * 0.5 - 0.5 + left, along * 0.5 - 0.5 + top
    rows = [[a * across, b * along, a * x + b * y + right], [c * across, d * along, c * x + d * y + down]]
    return Sampling(np.array(rows), (left, top), (left + width, top + height), size)


def _span(corners: Sequence[float], side: int) -> tuple[int, int]:
    """Where the corners lie along one side of the image, with two pixels around: first pixel, and how many."""
    low = min(max(math.floor(min(corners)) - 2, 0), side - 1)
    return low, min(max(math.ceil(max(corners)) + 2, low + 1), side) - low
