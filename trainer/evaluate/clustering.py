"""Sorting faces into people without names: agglomerative clustering, and how well it went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def merges(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """Which clusters become one, from the nearest on, by average linkage (the paper's section 5.6).

    Args:
        embeddings: (N, D) float32, N >= 1, rows of L2 norm 1; memory is O(N^2).

    Returns:
        (N - 1, 4) float64, scipy's linkage matrix; distances are the mean squared L2 between the faces of two clusters.
    """
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import pdist

    if len(embeddings) < 2:
        return np.zeros((0, 4))
    return np.asarray(linkage(pdist(embeddings.astype(np.float64), "sqeuclidean"), method="average"), np.float64)


def cut(tree: NDArray[np.float64], threshold: float) -> NDArray[np.intp]:
    """Clusters that are merged while their mean distance is within a threshold.

    Args:
        tree: an answer of `merges` for N faces.
        threshold: mean squared L2 distance between the faces of two clusters.

    Returns:
        (N,) number of each face's cluster, from 0 in the order of the first face.
    """
    from scipy.cluster.hierarchy import fcluster

    if not len(tree):
        return np.zeros(1, np.intp)
    return _renumber(fcluster(tree, threshold, criterion="distance"))


def _renumber(clusters: NDArray[np.intp]) -> NDArray[np.intp]:
    _, first, inverse = np.unique(clusters, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well clusters agree with people.

    Attributes:
        precision: 0..1; low when clusters mix people.
        recall: 0..1; low when a person is scattered.
    """

    precision: float
    recall: float

    @property
    def f_score(self) -> float:
        """Harmonic mean of precision and recall; 0 when both are."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def b_cubed(clusters: NDArray[np.intp], labels: NDArray[np.intp]) -> Agreement:
    """B-cubed (Bagga and Baldwin 1998): for each face the share of its cluster that is its person, averaged over faces.

    Recall is likewise the share of its person that is in its cluster. Both (N,) arguments may hold any numbers.

    Raises:
        ValueError: when they are empty or differ in length.
    """
    shared = _contingency(clusters, labels)
    squares = shared.faces.astype(np.float64) ** 2
    precision = (squares / shared.of_cluster[shared.cluster]).sum() / len(labels)
    recall = (squares / shared.of_person[shared.person]).sum() / len(labels)
    return Agreement(float(precision), float(recall))


def pairwise(clusters: NDArray[np.intp], labels: NDArray[np.intp]) -> Agreement:
    """Over pairs of faces: the share of a cluster's pairs that are one person, and of a person's that share a cluster.

    A share of no pairs at all is 1: nothing was got wrong.

    Raises:
        ValueError: when the arguments are empty or differ in length.
    """
    shared = _contingency(clusters, labels)
    both = _pairs(shared.faces)
    together, one_person = _pairs(shared.of_cluster), _pairs(shared.of_person)
    return Agreement(both / together if together else 1.0, both / one_person if one_person else 1.0)


@dataclass(frozen=True, slots=True)
class Clustered:
    """How clustering at one threshold agrees with the people.

    Attributes:
        threshold: mean squared L2 distance.
        clusters: how many there are.
        by_face: B-cubed.
        by_pair: over pairs of faces.
    """

    threshold: float
    clusters: int
    by_face: Agreement
    by_pair: Agreement

    @staticmethod
    def of(clusters: NDArray[np.intp], labels: NDArray[np.intp], threshold: float) -> Clustered:
        """Clusters (N,) against people (N,)."""
        return Clustered(threshold, int(clusters.max()) + 1, b_cubed(clusters, labels), pairwise(clusters, labels))


def clustering_markdown(rows: Sequence[Clustered]) -> str:
    """A table with a row for each threshold."""
    lines = [
        "| threshold | clusters | B-cubed F | precision | recall | pairwise F | precision | recall |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = [f"{row.threshold:g}", str(row.clusters)]
        for found in (row.by_face, row.by_pair):
            cells += [f"{found.f_score:.2%}", f"{found.precision:.2%}", f"{found.recall:.2%}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _pairs(counts: NDArray[np.int64]) -> int:
    return int((counts * (counts - 1) // 2).sum())


@dataclass(frozen=True, slots=True)
class _Contingency:
    """The cells of the table of clusters by people that are not empty, and its margins.

    Attributes:
        cluster: (K,) row of each cell.
        person: (K,) its column.
        faces: (K,) faces in it.
        of_cluster: faces of each cluster.
        of_person: faces of each person.
    """

    cluster: NDArray[np.intp]
    person: NDArray[np.intp]
    faces: NDArray[np.int64]
    of_cluster: NDArray[np.int64]
    of_person: NDArray[np.int64]


def _contingency(clusters: NDArray[np.intp], labels: NDArray[np.intp]) -> _Contingency:
    if clusters.shape != labels.shape or not len(labels):
        raise ValueError(f"clusters {clusters.shape} and labels {labels.shape} must agree and hold a face")
    _, row, of_cluster = np.unique(clusters, return_inverse=True, return_counts=True)
    _, column, of_person = np.unique(labels, return_inverse=True, return_counts=True)
    cells, faces = np.unique(row * len(of_person) + column, return_counts=True)
    return _Contingency(*np.divmod(cells, len(of_person)), faces, of_cluster, of_person)
