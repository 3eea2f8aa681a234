"""Which face of a frame continues which track: one to one, the best in all. Pure.

Boxes alone decide who goes with whom; whether a pair can be trusted is for appearance or an embedding to say, since at
low frame rates boxes of one person need not overlap, and after a cut boxes of two people may.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

_NEVER = 1e6
_MOST_SCALE = 2.0
"""Boxes that differ more in size are not of one face."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A track and the face that may continue it.

    Attributes:
        track: index of the track.
        face: index of the face.
        overlap: intersection over union of the predicted and the seen box; 0 when they are only near each other.
    """

    track: int
    face: int
    overlap: float


def associate(
    predicted: NDArray[np.float64], reach: NDArray[np.float64], seen: NDArray[np.float32]
) -> tuple[Pair, ...]:
    """Pairs tracks with faces so that the sum of their costs is least (Kuhn 1955).

    A pair that overlaps costs 1 - IoU; one that doesn't, but lies within the track's reach, costs from 1 to 2 by its
    distance. Others are no pairs.

    Args:
        predicted: (T, 4) where the tracks' boxes should be, pixels.
        reach: (T,) how far their centres may be from there, pixels.
        seen: (N, 4) the faces' boxes, pixels.
    """
    if len(predicted) == 0 or len(seen) == 0:
        return ()
    overlaps = iou(predicted, seen)
    cost = np.where(overlaps > 0, 1 - overlaps, _NEVER)
    distance = np.linalg.norm(_centres(predicted)[:, None] - _centres(seen)[None], axis=2)
    ratio = np.sqrt(_areas(predicted)[:, None] / np.maximum(_areas(seen)[None], 1e-9))
    sized = (ratio < _MOST_SCALE) & (ratio > 1 / _MOST_SCALE)
    near = sized & (overlaps <= 0) & (distance <= reach[:, None])
    cost = np.where(near, 1 + distance / np.maximum(reach[:, None], 1e-9), cost)
    cost = np.where(sized, cost, _NEVER)
    rows, columns = linear_sum_assignment(cost)
    return tuple(
        Pair(int(row), int(column), float(overlaps[row, column]))
        for row, column in zip(rows, columns, strict=True)
        if cost[row, column] < _NEVER
    )


def iou(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """(A, B) intersection over union of (A, 4) and (B, 4) boxes: left, top, right, bottom."""
    left_top = np.maximum(first[:, None, :2], second[None, :, :2])
    right_bottom = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(right_bottom - left_top, 0, None).prod(axis=2)
    return np.asarray(shared / np.maximum(_areas(first)[:, None] + _areas(second)[None] - shared, 1e-9), np.float64)


def _areas(boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1), np.float64)


def _centres(boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray((boxes[:, :2] + boxes[:, 2:]) / 2, np.float64)
