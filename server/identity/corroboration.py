"""When one track is evidence enough that somebody was there: looks spread over time agree with each other. Pure.

A person who passes once would otherwise wait for a second visit, however long the first one was. What a second sighting
guards against (a face that is none, a blur, a track that went over to somebody else) shows itself within one track too,
when there are several looks and some time is between them: looks of one moment share their light, pose and blur.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from server.domain import Look
from server.identity.cluster_settings import ClusterSettings


def corroborated(looks: Sequence[Look], settings: ClusterSettings) -> bool:
    """Whether the looks at one track corroborate each other, so that it needs no second sighting.

    There must be enough that could be placed at all, over long enough, and every two of them must be as near as a
    second face that promotes a candidate. They need not be good ones: a stranger who is far away stays far away,
    several poor looks that agree say as much as two good ones, and small faces are taken for each other no more often
    than large ones (`make bench-clusters` counts both). The distance is that of one comparison, because looks at a
    track are compared with each other alone, not with all groups.

    Args:
        looks: at one track, in any order.
        settings: how many, over how long, how legible, and how near.
    """
    placeable = [look for look in looks if look.quality >= settings.min_quality]
    if len(placeable) < settings.corroborating_looks:
        return False
    times = [look.at_ns for look in placeable]
    if max(times) - min(times) < settings.corroborating_ns:
        return False
    vectors = np.stack([look.embedding for look in placeable]).astype(np.float64)
    return bool((2 - 2 * vectors @ vectors.T).max() <= settings.promote(1))
