"""An HNSW graph over the rows of a matrix, frozen once built; the only module that knows hnswlib.

hnswlib is fast and trusting: it crashes when an index grows while it is searched, when a damaged file is loaded, and
it writes empty files onto full disks without a word. So a graph is never changed after it is built (a longer one is
a copy), files are written and verified by `snapshot`, and what leaves here as a `GraphState` holds links but no
vectors: those are always taken from the store.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from server.domain import Embeddings
from server.identity.graph_state import (
    SEED,
    GraphShape,
    GraphState,
    Positions,
    check_state,
    params_of,
    state_of,
    unreachable_rows,
)

_STEP: Final = 2_000
"""Rows added between two looks at `cancelled`."""


class CancelledError(Exception):
    """The build was told to stop."""


class Graph:
    """Nearest rows by HNSW. Searched from any number of threads at once; never changes.

    Attributes:
        shape: how it was built.
        unreachable: rows that no search can arrive at, ascending; whoever searches must compare with them one by one.
        recall: share of probes whose nearest row was found, 0..1; 0 until it was measured.
    """

    def __init__(self, native: Any, shape: GraphShape, unreachable: Positions) -> None:  # noqa: ANN401 - untyped library
        self._native = native
        self.shape = shape
        self.unreachable = unreachable
        self.recall = 0.0

    def __len__(self) -> int:
        return int(self._native.get_current_count())

    @property
    def width(self) -> int:
        """Candidates kept while searching."""
        return int(self._native.ef)

    @staticmethod
    def built(vectors: Embeddings, shape: GraphShape, *, threads: int, cancelled: Callable[[], bool]) -> Graph:
        """A graph over all rows. Takes about 1.5 ms a row and thread at 100,000 rows.

        Raises:
            CancelledError: soon after `cancelled` answers True.
        """
        import hnswlib

        native = hnswlib.Index(space="l2", dim=shape.dimension)
        native.init_index(
            max_elements=len(vectors),
            M=shape.links,
            ef_construction=shape.build_width,
            random_seed=SEED,
        )
        return _filled(native, vectors, shape, threads=threads, cancelled=cancelled)

    def extended(self, vectors: Embeddings, *, threads: int, cancelled: Callable[[], bool]) -> Graph:
        """A graph over `vectors`, whose first rows are this graph's; costs a copy and the new rows.

        Raises:
            CancelledError: soon after `cancelled` answers True.
        """
        import hnswlib

        native = hnswlib.Index(params=self._native.__getstate__()[0])
        native.resize_index(len(vectors))
        native.set_ef(self.width)
        return _filled(native, vectors, self.shape, threads=threads, cancelled=cancelled)

    def search(self, query: NDArray[np.float32], k: int) -> Positions:
        """The nearest min(k, what can be found) rows of one query, (K,), nearest first, nearly always all of them."""
        found: Positions = self.search_all(query[None], k, threads=1)[0]
        return found

    def search_all(self, queries: Embeddings, k: int, *, threads: int) -> Positions:
        """The same for each query: (Q, K)."""
        k = min(k, len(self) - len(self.unreachable))
        while k > 0:
            try:
                rows, _ = self._native.knn_query(queries, k=k, num_threads=threads)
            except RuntimeError:  # a query that ends in a corner with fewer than k rows
                k //= 2
            else:
                return np.asarray(rows, np.int64)
        return np.empty((len(queries), 0), np.int64)

    def widen(self, width: int) -> None:
        """Sets the candidates kept while searching; only before the graph is shared."""
        self._native.set_ef(width)

    def state(self) -> GraphState:
        """The graph's links. hnswlib holds the interpreter for the copy: 0.1 s for 100,000 rows."""
        return state_of(self._native.__getstate__()[0], self.shape, self.recall)

    @staticmethod
    def restored(state: GraphState, vectors: Embeddings) -> Graph:
        """The graph of a state, with the vectors put back.

        Args:
            state: as `state` gave it.
            vectors: (N, D), one per row in the order of the matrix.

        Raises:
            GraphError: when the state cannot be one that a build left behind; the native code never sees it.
        """
        import hnswlib

        check_state(state, vectors)
        native = hnswlib.Index(params=params_of(state, vectors))
        native.set_ef(state.width)
        graph = Graph(native, state.shape, unreachable_rows(state))
        graph.recall = state.recall
        return graph


def _filled(
    native: Any,  # noqa: ANN401 - untyped library
    vectors: Embeddings,
    shape: GraphShape,
    *,
    threads: int,
    cancelled: Callable[[], bool],
) -> Graph:
    for start in range(native.get_current_count(), len(vectors), _STEP):
        if cancelled():
            raise CancelledError
        block = vectors[start : start + _STEP]
        rows = np.arange(start, start + len(block))
        native.add_items(block, rows, num_threads=threads)
    native.set_num_threads(1)
    return Graph(native, shape, unreachable_rows(state_of(native.__getstate__()[0], shape, 0.0)))
