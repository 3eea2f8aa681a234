"""The index of a large gallery: an immutable graph, and an exact search of what the graph does not hold yet."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from server.domain import Embedding, Embeddings
from server.identity.graph import Graph
from server.identity.index import Distances, Labels, exact, ranked, shortlist, stacked
from server.identity.rows import Keys, TemplateRows

_WIDEST = 512
"""Beyond that many neighbours a comparison with every row is as fast as the graph."""


@dataclass(frozen=True)
class HnswIndex:
    """Approximate below the graph's recall, exact for the rows behind it.

    The graph covers the first rows; the rows behind (the delta), those that the graph cannot reach, and whatever a
    search finds are compared one by one, so distances are exact and dead rows never come back.

    Attributes:
        rows: the templates; the first len(graph) of them are the graph's.
        graph: the graph.
    """

    rows: TemplateRows
    graph: Graph

    def __len__(self) -> int:
        return self.rows.living

    @property
    def delta_count(self) -> int:
        """Rows behind the graph, dead ones included."""
        return self.rows.count - len(self.graph)

    @cached_property
    def graph_dead_count(self) -> int:
        """Rows of the graph that are dead."""
        base = len(self.graph)
        return base - int(np.count_nonzero(self.rows.alive[:base]))

    @cached_property
    def beside_count(self) -> int:
        """Living rows that are compared one by one: behind the graph, or out of its reach."""
        behind = np.count_nonzero(self.rows.alive[len(self.graph) :])
        return int(behind) + len(self._islands)

    @cached_property
    def _islands(self) -> NDArray[np.int64]:
        """Living rows of the graph that it cannot reach."""
        islands = self.graph.unreachable
        return islands[self.rows.alive[islands]]

    def added(self, labels: Keys, owners: Keys, vectors: Embeddings) -> HnswIndex:
        """An index with these templates too."""
        return HnswIndex(self.rows.appended(labels, owners, vectors), self.graph)

    def removed(self, labels: Keys) -> HnswIndex:
        """An index without these templates."""
        return HnswIndex(self.rows.without(labels), self.graph)

    def search(self, queries: Embeddings, k: int) -> tuple[Labels, Distances]:
        """The min(k, len(self)) nearest templates of each query."""
        width = min(k, len(self))
        return stacked([self._nearest(query, width) for query in queries], width)

    def _nearest(self, query: Embedding, width: int) -> tuple[Keys, Distances]:
        found = self._from_graph(query, width)
        if found is None:
            return exact(self.rows, query, width)
        base = len(self.graph)
        behind = shortlist(self.rows.vectors[base:], self.rows.alive[base:], query, width)
        positions = np.concatenate([found, self._islands, behind + base])
        return ranked(self.rows, query, positions, width)

    def _from_graph(self, query: Embedding, width: int) -> NDArray[np.int64] | None:
        """Living rows of the graph, the `width` nearest among them; None when only comparing with all rows can tell."""
        reachable = len(self.graph) - len(self.graph.unreachable)
        wanted = min(width, len(self.graph) - self.graph_dead_count - len(self._islands))
        asked = wanted + min(wanted, self.graph_dead_count)
        while asked <= _WIDEST:
            found = self.graph.search(query, asked)
            living = found[self.rows.alive[found]]
            if len(living) >= wanted:
                return living
            if len(found) < min(asked, reachable):
                return None
            asked *= 4
        return None
