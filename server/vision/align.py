"""Landmarks to aligned crops: the similarity transform that lays five landmarks on a template."""

from __future__ import annotations

from collections.abc import Sequence

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


def warp(image: Image, matrix: NDArray[np.float64], crop: Image) -> None:
    """Fills a crop with what a (2, 3) matrix from image to crop brings there; anti-aliased when shrinking."""
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if 0 < scale < _MIN_SCALE:
        image, matrix = _shrunk(image, matrix, crop.shape[:2], scale / _MIN_SCALE)
    size = (crop.shape[1], crop.shape[0])
    cv2.warpAffine(image, matrix, size, dst=crop, flags=cv2.INTER_LINEAR)


def _shrunk(
    image: Image, matrix: NDArray[np.float64], crop_size: Sequence[int], factor: float
) -> tuple[Image, NDArray[np.float64]]:
    """The part of the image that the crop shows, shrunk by area averaging, and the matrix for it."""
    height, width = crop_size
    corners = np.asarray([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
    inverse = np.linalg.inv(matrix[:, :2])
    source = (corners - matrix[:, 2]) @ inverse.T
    limit = np.asarray(image.shape[1::-1])
    low = np.clip(np.floor(source.min(axis=0)) - 2, 0, limit - 1).astype(int)
    high = np.clip(np.ceil(source.max(axis=0)) + 2, low + 1, limit).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]
    size = np.maximum(np.round((high - low) * factor), 1).astype(int)
    small = cv2.resize(part, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA)
    # cv2 counts from pixel centres: image x = (small x + 0.5) / factor - 0.5 + low
    step = (high - low) / size
    moved = matrix[:, :2] @ (step * 0.5 - 0.5 + low) + matrix[:, 2]
    return np.asarray(small, np.uint8), np.concatenate([matrix[:, :2] * step, moved[:, None]], axis=1)
