"""The templates of unknown groups, found quickly: an immutable index that changes and folds replace by another one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from server.domain import Embedding
from server.identity.graph import Graph
from server.identity.graph_state import GraphShape
from server.identity.hnsw import HnswIndex
from server.identity.index import BruteForceIndex
from server.identity.index_settings import IndexSettings
from server.identity.live import Fold, fold_for
from server.identity.rows import TemplateRows

CLUSTER_INDEX: Final = IndexSettings(exact_limit=4_096, links=16, build_width=100, delta_limit=1_024, delta_share=0.01)
"""Bounds for unknown faces: templates come and go with every face, so the graph is light and begins early."""

_WIDTH: Final = 24
"""Candidates kept while the graph is searched. Faces of one person are near and have several templates, so that few
suffice; whoever is missed starts a candidate, and `consolidate` searches from all its templates again."""


class ClusterIndex:
    """Faces by their embeddings. Searched from any thread; changed by one thread, folded by another."""

    def __init__(self, dimension: int, settings: IndexSettings) -> None:
        self._settings = settings
        self._index: BruteForceIndex | HnswIndex = BruteForceIndex.empty(dimension)
        self._labels: dict[int, int] = {}
        self._next = 1
        self._replacing = threading.Lock()

    def __len__(self) -> int:
        return len(self._index)

    def change(self, added: Sequence[tuple[int, Embedding]], removed: Sequence[int]) -> None:
        """Adds faces that are not there and removes faces that are, by their keys."""
        if not added and not removed:
            return
        with self._replacing:
            index = self._index
            if removed:
                index = index.removed(np.array([self._labels.pop(face) for face in removed], np.int64))
            if added:
                labels = np.arange(self._next, self._next + len(added))
                self._next += len(added)
                faces = [face for face, _ in added]
                self._labels.update(zip(faces, labels.tolist(), strict=True))
                index = index.added(labels, np.array(faces, np.int64), np.stack([vector for _, vector in added]))
            self._index = index

    def nearest(self, probe: Embedding, count: int) -> tuple[list[int], list[float]]:
        """Keys and squared L2 distances of the min(count, len) nearest faces, nearest first."""
        index = self._index
        (labels,), (distances,) = index.search(probe[None], count)
        return index.rows.owners[index.rows.positions(labels)].tolist(), distances.tolist()

    @property
    def needs_fold(self) -> bool:
        """True when the index is out of its bounds."""
        return fold_for(self._index, self._settings) is not Fold.NOTHING

    def fold(self, cancelled: Callable[[], bool]) -> None:
        """Brings the index back into its bounds.

        Raises:
            CancelledError: soon after `cancelled` answers True.
        """
        index = self._index
        fold = fold_for(index, self._settings)
        if fold is Fold.COMPACT:
            self._replace(index.rows.compacted(), None)
        elif fold is Fold.BUILD:
            rows = index.rows.compacted()
            shape = GraphShape(rows.dimension, self._settings.links, self._settings.build_width)
            graph = Graph.built(rows.vectors, shape, threads=self._settings.build_threads, cancelled=cancelled)
            self._replace(rows, graph)
        elif fold is Fold.EXTEND and isinstance(index, HnswIndex):
            vectors = index.rows.vectors
            graph = index.graph.extended(vectors, threads=self._settings.build_threads, cancelled=cancelled)
            self._replace(index.rows, graph)

    def _replace(self, base: TemplateRows, graph: Graph | None) -> None:
        if graph is not None:
            graph.widen(_WIDTH)
        with self._replacing:
            rows = base.caught_up(self._index.rows)
            self._index = HnswIndex(rows, graph) if graph else BruteForceIndex(rows)
