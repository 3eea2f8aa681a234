"""Which faces of a group become templates of a person: good ones, and as different from one another as can be."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from server.domain import Embeddings, Quality

MOST_PROMOTED = 5
"""Faces of one group that become templates: beyond a few, more views of one visit add little and cost every search."""

_LEAST_APART = 0.02
"""Squared L2 below which two faces are one picture for all that matters."""


def promoted(
    vectors: Embeddings, qualities: Sequence[Quality], fit: Callable[[Quality], bool], most: int = MOST_PROMOTED
) -> list[int]:
    """Rows of the faces to promote: the best one, then always the one farthest from those chosen (Gonzalez 1985).

    Args:
        vectors: (N, D) templates of the sightings.
        qualities: N.
        fit: whether a face may become a template at all.
        most: faces at most.
    """
    left = [row for row, quality in enumerate(qualities) if fit(quality)]
    if not left:
        return []
    chosen = [max(left, key=lambda row: (qualities[row].score, -row))]
    gaps = 2 - 2 * vectors @ vectors[chosen[0]]
    while len(chosen) < most:
        row = max(left, key=lambda row: (float(gaps[row]), -row))
        if gaps[row] < _LEAST_APART:
            break
        chosen.append(row)
        gaps = np.minimum(gaps, 2 - 2 * vectors @ vectors[row])
    return chosen
