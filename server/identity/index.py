"""Finding the nearest templates: the seam and its exact form.

An index is a value: adding and removing give another index and leave this one as it is, so that a search never meets
a change. Labels are keys of templates. Distances are squared L2, smaller is nearer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from server.domain import Embedding, Embeddings
from server.identity.rows import Keys, TemplateRows

Labels = NDArray[np.int64]
"""(Q, K) int64, nearest first."""

Distances = NDArray[np.float32]
"""(Q, K) float32, squared L2, ascending in each row."""


_SPARE: Final = 8
_BLOCK: Final = 64
"""Rows, of which the best one speaks for all while the bar for a shortlist is sought."""


class TemplateIndex(Protocol):
    """The living templates of one gallery. Safe to search from any number of threads."""

    @property
    def rows(self) -> TemplateRows:
        """The templates, dead ones included."""

    def __len__(self) -> int:
        """How many templates live."""

    def added(self, labels: Keys, owners: Keys, vectors: Embeddings) -> Self:
        """An index with these templates too.

        Args:
            labels: (N,) ascending, greater than every label ever added.
            owners: (N,) keys of the identities that they belong to.
            vectors: (N, D), checked by `vectors.check_embeddings`.
        """

    def removed(self, labels: Keys) -> Self:
        """An index without these templates; labels that are not there don't matter."""

    def search(self, queries: Embeddings, k: int) -> tuple[Labels, Distances]:
        """The min(k, len(self)) nearest templates of each query; ties go to the smaller label."""


def shortlist(vectors: Embeddings, alive: NDArray[np.bool_], query: Embedding, k: int) -> NDArray[np.intp]:
    """Positions of living rows among which are the k nearest to the query, in no order.

    One dot product per row rather than one matrix product: as fast for one query, and it leaves the other cores to
    those who are decoding and running networks. The k-th largest of the blocks' best scores is a bar that at least k
    rows reach, which is much cheaper to find than the k-th largest score. Some more than k come back, because float32
    dot products don't tell near ties apart.
    """
    scores = np.vecdot(vectors, query)
    if not alive.all():
        scores[~alive] = -np.inf
    wanted = k + _SPARE
    blocks = len(scores) // _BLOCK
    if wanted >= blocks:
        positions = _largest(scores, wanted)
    else:
        best = scores[: blocks * _BLOCK].reshape(blocks, _BLOCK).max(axis=1)
        positions = np.flatnonzero(scores >= np.partition(best, blocks - wanted)[blocks - wanted])
    return positions[alive[positions]]


def _largest(scores: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    if count >= len(scores):
        return np.arange(len(scores))
    return np.argpartition(scores, len(scores) - count)[len(scores) - count :]


def ranked(rows: TemplateRows, query: Embedding, positions: NDArray[np.intp], k: int) -> tuple[Keys, Distances]:
    """Labels and exact distances of the k nearest of these rows: (K,) and (K,)."""
    difference = rows.vectors[positions] - query
    distances = np.vecdot(difference, difference)
    labels = rows.keys[positions]
    order = np.lexsort((labels, distances))[:k]
    return labels[order], distances[order]


def exact(rows: TemplateRows, query: Embedding, k: int) -> tuple[Keys, Distances]:
    """Labels and distances of the k nearest living rows, found by comparing with all."""
    return ranked(rows, query, shortlist(rows.vectors, rows.alive, query, k), k)


def stacked(found: list[tuple[Keys, Distances]], width: int) -> tuple[Labels, Distances]:
    """One row per query."""
    labels = np.empty((len(found), width), np.int64)
    distances = np.empty((len(found), width), np.float32)
    for row, (near, far) in enumerate(found):
        labels[row], distances[row] = near, far
    return labels, distances


@dataclass(frozen=True, slots=True)
class BruteForceIndex:
    """Compares the query with every template. Exact; linear in the gallery: 1.1 ms for 50,000 templates of 128-d.

    Attributes:
        rows: the templates.
    """

    rows: TemplateRows

    @staticmethod
    def empty(dimension: int) -> BruteForceIndex:
        """An index of nothing."""
        return BruteForceIndex(TemplateRows.empty(dimension))

    def __len__(self) -> int:
        return self.rows.living

    def added(self, labels: Keys, owners: Keys, vectors: Embeddings) -> BruteForceIndex:
        """An index with these templates too."""
        return BruteForceIndex(self.rows.appended(labels, owners, vectors))

    def removed(self, labels: Keys) -> BruteForceIndex:
        """An index without these templates."""
        return BruteForceIndex(self.rows.without(labels))

    def search(self, queries: Embeddings, k: int) -> tuple[Labels, Distances]:
        """The min(k, len(self)) nearest templates of each query."""
        width = min(k, len(self))
        return stacked([exact(self.rows, query, width) for query in queries], width)
