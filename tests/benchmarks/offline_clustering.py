"""Offline clusterings to compare with, and how clusterings are judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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


def _agglomerative(distances: NDArray[np.float64], method: str, thresholds: NDArray[np.float64]) -> list[Labels]:
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


def _hdbscan(distances: NDArray[np.float64], thresholds: NDArray[np.float64]) -> list[Labels]:
    return [
        _singled(
            HDBSCAN(
                min_cluster_size=2, min_samples=1, cluster_selection_epsilon=float(threshold), metric="precomputed",
                copy=True, allow_single_cluster=False,
            ).fit(distances).labels_
        )
        for threshold in thresholds
    ]  # fmt: skip


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


METHODS: Mapping[str, tuple[Callable[[NDArray[np.float64], NDArray[np.float64]], list[Labels]], tuple[float, float]]] = {
    "agglomerative, average": (lambda d, t: _agglomerative(d, "average", t), (0.9, 1.5)),
    "agglomerative, complete": (lambda d, t: _agglomerative(d, "complete", t), (1.0, 1.9)),
    "DBSCAN": (_dbscan, (0.5, 1.1)),
    "HDBSCAN": (_hdbscan, (0.0, 1.1)),
    "Chinese Whispers": (_chinese_whispers, (0.6, 1.3)),
}
"""Each method with the range of its threshold on the squared L2."""

STEP = 0.025


@dataclass(frozen=True, slots=True)
class Offline:
    """One method at the threshold that was best on other people.

    Attributes:
        method: its name.
        threshold: squared L2.
        scores: on the people that the threshold was not chosen on.
    """

    method: str
    threshold: float
    scores: Scores


def squared_distances(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, N) squared L2, exactly symmetric with a zero diagonal."""
    wide = embeddings.astype(np.float64)
    distances = np.clip(2 - 2 * wide @ wide.T, 0, 4)
    distances = (distances + distances.T) / 2
    np.fill_diagonal(distances, 0)
    return distances


def offline(
    method: str,
    fit: tuple[NDArray[np.float32], Labels],
    held_out: tuple[NDArray[np.float32], Labels],
) -> Offline:
    """A method's result on some people, with its best threshold on others.

    Args:
        method: one of METHODS.
        fit: embeddings and people that the threshold is chosen on.
        held_out: those that are reported.
    """
    cluster, (low, high) = METHODS[method]
    thresholds = np.arange(low, high + STEP / 2, STEP)
    tried = cluster(squared_distances(fit[0]), thresholds)
    best = int(np.argmax([scores(labels, fit[1]).f1 for labels in tried]))
    (labels,) = cluster(squared_distances(held_out[0]), thresholds[best : best + 1])
    return Offline(method, float(thresholds[best]), scores(labels, held_out[1]))
