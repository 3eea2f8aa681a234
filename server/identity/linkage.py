"""Agglomerative clustering by average linkage under cannot-links, for small sets of weighted points.

The mean squared L2 between the members of two clusters of unit vectors, or of vectors that were shrunk to be worth one
look (`server.identity.coherence`), needs only their sums and counts:
2 - 2 (s1 . s2) / (n1 n2). So a point may stand for many faces at once (UPGMA; Sokal & Michener 1958), and must-links
are points that were summed beforehand.

One threshold does not suit all sizes (`Leeway`). The mean over many faces spreads less than one distance, so a single
face may be farther from the mean of a large group than from another single face at the same false accept rate: for
SFace the distance at FAR 1e-3 grows from 1.27 for one face to 1.36 for sixteen. Two small groups, on the other hand,
have had their chance to be near: when several faces of each are only so-so alike, they are more often lookalikes than
one person.

Cannot-links: two clusters that hold such a pair never merge (COP-style constraints;
Davidson & Ravi 2005, section 4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]
"""Numbers of faces."""


_LARGE = 9
"""Faces from which on the spread of their mean hardly shrinks."""


@dataclass(frozen=True, slots=True)
class Leeway:
    """What is taken from the mean distance of two clusters before it is held against the threshold, squared L2.

    Attributes:
        most: between one face and a large group; between two groups it is divided by the faces of the smaller one.
        caution: taken away again between two groups of several faces each, while both are small.
    """

    most: float = 0.0
    caution: float = 0.0

    def of(self, count: float | Weights, counts: Weights) -> Weights:
        """Between clusters of so many faces, pairwise; 0 for two single faces, negative for two small groups."""
        larger, smaller = np.maximum(count, counts), np.minimum(count, counts)
        large = np.minimum(1.0, (larger - 1) / (_LARGE - 1))
        doubt = (1 - 1 / larger) * (1 - 1 / smaller) * (1 - large)
        return np.asarray(self.most * large / smaller - self.caution * doubt)


NO_LEEWAY = Leeway()


def average_linkage(
    sums: NDArray[np.float64],
    counts: NDArray[np.float64],
    apart: NDArray[np.bool_],
    threshold: float,
    *,
    leeway: Leeway = NO_LEEWAY,
    fewest: int = 1,
) -> NDArray[np.intp]:
    """Merges the two nearest clusters again and again, until none are within the threshold.

    Takes O(P^2) per merge: 2 ms for P = 192.

    Args:
        sums: (P, D) sums of unit or shrunk vectors, one row per point.
        counts: (P,) how many vectors a point stands for.
        apart: (P, P) symmetric, True where two points must not meet.
        threshold: mean squared L2, less the leeway, up to which clusters merge.
        leeway: by the sizes of two clusters.
        fewest: so many clusters stay, however near.

    Returns:
        (P,) the cluster of each point: the smallest position among the cluster's points.
    """
    labels = np.arange(len(sums))
    if len(sums) < 2:
        return labels
    products = sums @ sums.T
    sizes = counts.astype(np.float64)
    barred = apart.copy()
    np.fill_diagonal(barred, True)
    distances = 2 - 2 * products / np.outer(sizes, sizes) - leeway.of(sizes[:, None], sizes)
    distances[barred] = np.inf
    for _ in range(len(sums) - fewest):
        near, far = sorted(np.unravel_index(np.argmin(distances), distances.shape))
        if not distances[near, far] <= threshold:
            break
        labels[labels == far] = near
        products[near] += products[far]
        products[:, near] += products[:, far]
        sizes[near] += sizes[far]
        barred[near] |= barred[far]
        barred[:, near] = barred[near]
        barred[far] = barred[:, far] = True
        row = 2 - 2 * products[near] / (sizes[near] * sizes) - leeway.of(sizes[near], sizes)
        row[barred[near]] = np.inf
        distances[near] = distances[:, near] = row
        distances[far] = distances[:, far] = np.inf
    return labels
