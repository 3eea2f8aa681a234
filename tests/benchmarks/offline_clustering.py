"""Offline clusterings to compare with, and how clusterings are judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.cluster import DBSCAN, HDBSCAN

Labels: TypeAlias = NDArray[np.int64]
"""(N,) cluster of each face; any numbers."""

WHISPERS = 20
"""Rounds of Chinese Whispers; it settles within about ten."""


@dataclass(frozen=True, slots=True)
class Scores:
    """B-cubed scores (Bagga & Baldwin 1998; Amigó et al. 2009) and pairwise precision.

    Attributes:
        f1: harmonic mean of the next two.
        precision: of a face's cluster, the share that is its person; mean over faces.
        recall: of a face's person, the share that is in its cluster; mean over faces.
        pairwise_precision: of all pairs within clusters, the share that is one person; 1 without pairs.
    """

    f1: float
    precision: float
    recall: float
    pairwise_precision: float


def scores(labels: Labels, people: Labels) -> Scores:
    """How well clusters and people agree."""
    _, cluster = np.unique(labels, return_inverse=True)
    _, person = np.unique(people, return_inverse=True)
    sizes, photos = np.bincount(cluster), np.bincount(person)
    _, cell, shared = np.unique(np.stack([cluster, person]), axis=1, return_inverse=True, return_counts=True)
    precision = float(np.mean(shared[cell] / sizes[cluster]))
    recall = float(np.mean(shared[cell] / photos[person]))
    pairs = float(np.sum(sizes * (sizes - 1)))
    right = float(np.sum(shared * (shared - 1)))
    return Scores(2 * precision * recall / (precision + recall), precision, recall, right / pairs if pairs else 1.0)


def _agglomerative(method: str, distances: NDArray[np.float64], thresholds: NDArray[np.float64]) -> list[Labels]:
    tree = linkage(squareform(distances, checks=False), method)
    return [fcluster(tree, threshold, "distance") for threshold in thresholds]


def _singled(labels: Labels) -> Labels:
    """Noise, -1, becomes clusters of one."""
    return np.where(labels < 0, len(labels) + np.arange(len(labels)), labels)


def _dbscan(distances: NDArray[np.float64], thresholds: NDArray[np.float64]) -> list[Labels]:
    return [
        _singled(DBSCAN(eps=threshold, min_samples=2, metric="precomputed").fit(distances).labels_)
        for threshold in thresholds
    ]


def _hdbscan(distances: NDArray[np.float64], least_samples: NDArray[np.float64]) -> list[Labels]:
    """It has no threshold; what is chosen is min_samples, its one other parameter that matters for small clusters."""
    return [
        _singled(
            HDBSCAN(min_cluster_size=2, min_samples=int(n), metric="precomputed", copy=True).fit(distances).labels_
        )
        for n in least_samples
    ]


def _chinese_whispers(distances: NDArray[np.float64], thresholds: NDArray[np.float64]) -> list[Labels]:
    """Biemann 2006, edges of weight 1 as dlib has them."""
    return [_whispers(distances <= threshold) for threshold in thresholds]


def _whispers(edges: NDArray[np.bool_]) -> Labels:
    random = np.random.default_rng(0)
    labels = np.arange(len(edges))
    neighbours = [np.flatnonzero(row) for row in edges & ~np.eye(len(edges), dtype=np.bool_)]
    for _ in range(WHISPERS):
        for node in random.permutation(len(edges)):
            if len(neighbours[node]):
                seen, votes = np.unique(labels[neighbours[node]], return_counts=True)
                labels[node] = seen[np.argmax(votes)]
    return labels


@dataclass(frozen=True, slots=True)
class Method:
    """A way to cluster.

    Attributes:
        name: of it.
        cluster: labels for (N, N) squared L2 distances, at each of some settings.
        settings: that are tried: thresholds on the squared L2, or what stands in for them.
    """

    name: str
    cluster: Callable[[NDArray[np.float64], NDArray[np.float64]], list[Labels]]
    settings: NDArray[np.float64]


METHODS = (
    Method("agglomerative, average", partial(_agglomerative, "average"), np.arange(0.9, 1.51, 0.025)),
    Method("agglomerative, complete", partial(_agglomerative, "complete"), np.arange(1.0, 1.91, 0.025)),
    Method("DBSCAN", _dbscan, np.arange(0.4, 1.21, 0.025)),
    Method("HDBSCAN", _hdbscan, np.arange(1.0, 5.0)),
    Method("Chinese Whispers", _chinese_whispers, np.arange(0.6, 1.31, 0.05)),
)


@dataclass(frozen=True, slots=True)
class Offline:
    """One method at the setting that was best on other people.

    Attributes:
        setting: one of the method's.
        scores: on the people that the setting was not chosen on.
    """

    setting: float
    scores: Scores


def squared_distances(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, N) squared L2, exactly symmetric with a zero diagonal."""
    wide = embeddings.astype(np.float64)
    distances = np.clip(2 - 2 * wide @ wide.T, 0, 4)
    distances = (distances + distances.T) / 2
    np.fill_diagonal(distances, 0)
    return distances


def offline(
    method: Method,
    fit: tuple[NDArray[np.float32], Labels],
    held_out: tuple[NDArray[np.float32], Labels],
) -> Offline:
    """A method's result on some people, with its best setting on others.

    Args:
        method: which.
        fit: embeddings and people that the setting is chosen on.
        held_out: those that are reported.
    """
    tried = method.cluster(squared_distances(fit[0]), method.settings)
    best = int(np.argmax([scores(labels, fit[1]).f1 for labels in tried]))
    (labels,) = method.cluster(squared_distances(held_out[0]), method.settings[best : best + 1])
    return Offline(float(method.settings[best]), scores(labels, held_out[1]))
