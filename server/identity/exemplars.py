"""Which faces stand for a group in searches: a few that differ, rather than one mean that drifts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from server.identity.regrouping import UnknownFace


def diverse(faces: Sequence[UnknownFace], limit: int, *, good_quality: float, least_apart: float) -> list[int]:
    """Keys of up to `limit` faces: the best one, then again and again the good one farthest from those chosen.

    Farthest-first traversal (Gonzalez 1985). Without a good face, the best one alone.

    Args:
        faces: of one group, at least one.
        limit: at least 1.
        good_quality: faces below it don't stand for anybody, except the best when there is no other.
        least_apart: a face nearer than this to a chosen one adds nothing, squared L2.
    """
    best = max(faces, key=lambda face: (face.quality, -face.key))
    rest = [face for face in faces if face.quality >= good_quality and face.key != best.key]
    chosen = [best.key]
    if not rest:
        return chosen
    vectors = np.stack([face.embedding for face in rest])
    nearest = 2 - 2 * (vectors @ best.embedding)
    while len(chosen) < limit:
        farthest = int(np.argmax(nearest))
        if nearest[farthest] < least_apart:
            break
        chosen.append(rest[farthest].key)
        np.minimum(nearest, 2 - 2 * (vectors @ vectors[farthest]), out=nearest)
    return chosen
