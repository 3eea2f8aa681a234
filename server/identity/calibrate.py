"""How wide a graph must search: measured on the gallery itself, because it depends on the embeddings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from server.domain import Embeddings
from server.identity.graph import Graph

WIDTHS = (128, 192, 256, 384, 512, 768)
"""Candidates kept while searching (HNSW's ef), narrowest first."""

_MOST_PROBES = 1_000
_JITTER = 1.0
"""A probe is a template plus this share of the difference of two others: as far from it as another photo of the same
person in everyday quality (for SFace a squared L2 of 0.8 where strangers are 1.8 apart), in the directions in which
this gallery's embeddings vary."""


def calibrate(graph: Graph, vectors: Embeddings, *, recall: float, threads: int) -> None:
    """Sets the narrowest width with which the graph finds the nearest template often enough, and the graph's recall.

    Args:
        graph: not shared yet.
        vectors: (N, D), the graph's rows.
        recall: wanted share of probes whose nearest template is found; at the widest width it may be missed.
        threads: to measure with.
    """
    probes = _probes(vectors)
    nearest = _nearest(vectors, probes)
    for width in WIDTHS:
        if width < graph.width:
            continue
        graph.widen(width)
        rows = graph.search_all(probes, 1, threads=threads)
        hits = (rows == nearest[:, None]).any(axis=1) | np.isin(nearest, graph.unreachable)
        graph.recall = float(hits.mean())
        if graph.recall >= recall:
            return


def _probes(vectors: Embeddings) -> Embeddings:
    random = np.random.default_rng(len(vectors))
    picks = random.integers(0, len(vectors), (3, min(len(vectors), _MOST_PROBES)))
    noisy = vectors[picks[0]] + _JITTER * (vectors[picks[1]] - vectors[picks[2]])
    norms = np.linalg.norm(noisy, axis=1, keepdims=True)
    return np.asarray(noisy / np.maximum(norms, 1e-6), np.float32)


def _nearest(vectors: Embeddings, probes: Embeddings) -> NDArray[np.intp]:
    """(P,) row of the nearest vector, in blocks of at most 16 MB of scores."""
    block = max(1, 2**22 // len(vectors))
    best = [(probes[i : i + block] @ vectors.T).argmax(axis=1) for i in range(0, len(probes), block)]
    return np.concatenate(best)
