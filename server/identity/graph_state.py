"""A graph's links as values: taken out of hnswlib, checked, and put back with the vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from server.domain import Embeddings

Positions = NDArray[np.int64]
"""Row numbers of the matrix that a graph was built over."""

SEED: Final = 100
"""Of the levels that nodes are drawn to."""


class GraphError(Exception):
    """A state that no build of ours can have left behind."""


@dataclass(frozen=True, slots=True)
class GraphShape:
    """How a graph is built.

    Attributes:
        dimension: of the vectors.
        links: neighbours per row and level (HNSW's M); level 0 has twice as many.
        build_width: candidates kept while a row is linked (HNSW's efConstruction).
    """

    dimension: int
    links: int = 32
    build_width: int = 200


@dataclass(frozen=True, slots=True)
class GraphState:
    """A graph's links, without a single coordinate of a vector. Nodes are numbered in the order of insertion.

    Attributes:
        shape: how it was built.
        width: candidates kept while searching (HNSW's ef).
        recall: share of probes whose nearest row was found at that width, 0..1.
        rows: (N,) uint32, the row of the matrix that each node stands for.
        levels: (N,) int32, highest level of each node.
        links: (N, 1 + 2 * shape.links) uint32, number of neighbours on level 0, then the neighbours.
        upper: links on the levels above, packed as hnswlib packs them, uint32.
        entry: node where every search starts.
        top: its level.
    """

    shape: GraphShape
    width: int
    recall: float
    rows: NDArray[np.uint32]
    levels: NDArray[np.int32]
    links: NDArray[np.uint32]
    upper: NDArray[np.uint32]
    entry: int
    top: int


def state_of(params: dict[str, Any], shape: GraphShape, recall: float) -> GraphState:
    """The links in what hnswlib's own pickling keeps."""
    count = params["cur_element_count"]
    nodes = params["data_level0"].view(np.uint8).reshape(count, params["size_data_per_element"])
    links = np.ascontiguousarray(nodes[:, : params["offset_data"]]).view(np.uint32)
    rows = np.ascontiguousarray(nodes[:, params["label_offset"] :]).view(np.uint64)[:, 0]
    return GraphState(
        shape=shape,
        width=params["ef"],
        recall=recall,
        rows=rows.astype(np.uint32),
        levels=params["element_levels"][:count].copy(),
        links=links,
        upper=params["link_lists"].view(np.uint32).copy(),
        entry=params["enterpoint_node"],
        top=params["max_level"],
    )


def params_of(state: GraphState, vectors: Embeddings) -> dict[str, Any]:
    """What hnswlib's own pickling would have kept of this graph over these vectors."""
    count, shape = len(state.rows), state.shape
    link_bytes, vector_bytes = state.links.shape[1] * 4, shape.dimension * 4
    nodes = np.empty((count, link_bytes + vector_bytes + 8), np.uint8)
    nodes[:, :link_bytes] = state.links.view(np.uint8)
    nodes[:, link_bytes:-8] = np.ascontiguousarray(vectors[state.rows]).view(np.uint8)
    labels = state.rows.astype(np.uint64)
    nodes[:, -8:] = labels[:, None].view(np.uint8)
    return {
        "ser_version": 1,
        "space": "l2",
        "dim": shape.dimension,
        "index_inited": True,
        "ep_added": True,
        "normalize": False,
        "num_threads": 1,
        "seed": SEED,
        "offset_level0": 0,
        "max_elements": count,
        "cur_element_count": count,
        "size_data_per_element": nodes.shape[1],
        "label_offset": link_bytes + vector_bytes,
        "offset_data": link_bytes,
        "max_level": state.top,
        "enterpoint_node": state.entry,
        "max_M": shape.links,
        "max_M0": 2 * shape.links,
        "M": shape.links,
        "mult": 1 / np.log(shape.links),
        "ef_construction": max(shape.build_width, shape.links),
        "ef": state.width,
        "has_deletions": False,
        "allow_replace_deleted": False,
        "size_links_per_element": shape.links * 4 + 4,
        "label_lookup_external": labels,
        "label_lookup_internal": np.arange(count, dtype=np.uint32),
        "element_levels": state.levels,
        "data_level0": nodes.reshape(-1).view(np.int8),
        "link_lists": state.upper.view(np.int8),
    }


def check_state(state: GraphState, vectors: Embeddings) -> None:
    """Looks at everything that the native code would follow blindly.

    Raises:
        GraphError: when the links contradict one another or the vectors.
    """
    count, links = len(state.rows), state.shape.links
    upper = int(state.levels.sum(dtype=np.int64)) * (links + 1) if count else 0
    sound = (
        vectors.shape == (count, state.shape.dimension)
        and len(state.levels) == count > 0
        and state.links.shape == (count, 1 + 2 * links)
        and len(state.upper) == upper
        and state.levels.min() >= 0
        and state.entry in range(count)
        and state.levels[state.entry] == state.top == state.levels.max()
        and np.array_equal(np.sort(state.rows), np.arange(count, dtype=np.uint32))
        and _links_within(state.links, count)
        and _links_within(state.upper.reshape(-1, links + 1), count)
    )
    if not sound:
        raise GraphError(f"the links of a graph of {count} rows contradict one another")


def _links_within(links: NDArray[np.uint32], count: int) -> bool:
    """True when every list's length fits and every neighbour exists."""
    lengths = links[:, 0]
    if (lengths >= links.shape[1]).any():
        return False
    used = np.arange(1, links.shape[1])[None] <= lengths[:, None]
    return bool((links[:, 1:][used] < count).all())


def unreachable_rows(state: GraphState) -> Positions:
    """Rows that cannot be walked to from the entry on level 0: now and then pruning cuts one off."""
    reached = np.zeros(len(state.rows), np.bool_)
    reached[state.entry] = True
    frontier = np.array([state.entry])
    while len(frontier):
        lists = state.links[frontier]
        used = np.arange(1, lists.shape[1])[None] <= lists[:, :1]
        seen = np.zeros(len(reached), np.bool_)
        seen[lists[:, 1:][used]] = True
        frontier = np.flatnonzero(seen & ~reached)
        reached |= seen
    return np.sort(state.rows[~reached].astype(np.int64))
