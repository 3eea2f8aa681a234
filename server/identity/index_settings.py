"""When a gallery gets a graph, and how good the graph must be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """Bounds of the index. The defaults were measured with 128-d embeddings on 2 cores (tests/benchmarks/gallery.py).

    Attributes:
        exact_limit: a gallery of at most so many templates is compared one by one (1.1 ms at 50,000, none missed).
        links: neighbours per template in the graph (HNSW's M).
        build_width: candidates while a template is linked (HNSW's efConstruction).
        delta_limit: templates beside the graph that are always tolerated.
        delta_share: and this share of the graph's; beyond both the graph is extended.
        removed_share: share of dead templates beyond which the graph is built anew.
        recall: share of probes, as far as everyday photos are, whose nearest template the graph must find; decides how
            wide it searches.
        build_threads: threads that build; they compete with recognition.
    """

    exact_limit: int = 50_000
    links: int = 32
    build_width: int = 200
    delta_limit: int = 4_096
    delta_share: float = 0.05
    removed_share: float = 0.2
    recall: float = 0.995
    build_threads: int = 1
