from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from server.identity.calibrate import WIDTHS, calibrate
from server.identity.graph import CancelledError, Graph
from server.identity.graph_state import GraphError, GraphShape, GraphState, unreachable_rows
from server.identity.hnsw import HnswIndex
from server.identity.rows import TemplateRows
from tests.server.identity.crowd import DIMENSION, unit

SHAPE = GraphShape(DIMENSION, links=4, build_width=40)


def never() -> bool:
    return False


def graph_over(count: int, threads: int = 1) -> Graph:
    return Graph.built(unit(count, 1), SHAPE, threads=threads, cancelled=never)


def test_a_graph_put_back_together_answers_as_before() -> None:
    graph = graph_over(500, threads=2)
    graph.widen(64)
    graph.recall = 0.75
    back = Graph.restored(graph.state(), unit(500, 1))
    queries = unit(50, 2)
    assert np.array_equal(back.search_all(queries, 5, threads=1), graph.search_all(queries, 5, threads=1))
    assert (len(back), back.width, back.recall) == (500, 64, 0.75)


def test_a_state_holds_no_coordinate_of_any_vector() -> None:
    vectors = unit(200, 1)
    state = graph_over(200).state()
    held = b"".join(np.asarray(a).tobytes() for a in (state.rows, state.levels, state.links, state.upper))
    assert not any(vector[start : start + 2].tobytes() in held for vector in vectors for start in range(DIMENSION - 1))


def test_a_longer_graph_finds_the_new_rows_and_leaves_the_old_graph_alone() -> None:
    vectors = unit(300, 1)
    graph = Graph.built(vectors[:200], SHAPE, threads=1, cancelled=never)
    graph.widen(128)
    longer = graph.extended(vectors, threads=1, cancelled=never)
    assert (len(graph), len(longer), longer.width) == (200, 300, 128)
    assert longer.search_all(vectors, 1, threads=1)[:, 0].tolist() == list(range(300))
    assert graph.search_all(vectors[200:], 1, threads=1).max() < 200


def test_a_build_stops_when_it_is_told_to() -> None:
    with pytest.raises(CancelledError):
        Graph.built(unit(10, 1), SHAPE, threads=1, cancelled=lambda: True)


def test_asking_for_more_than_there_is_gives_what_there_is() -> None:
    assert graph_over(3).search(unit(1, 5)[0], 50).shape == (3,)


def tampered(name: str, change: Callable[[np.ndarray], None]) -> Callable[[GraphState], GraphState]:
    def tamper(state: GraphState) -> GraphState:
        array = getattr(state, name).copy()
        change(array)
        return replace(state, **{name: array})

    return tamper


@pytest.mark.parametrize(
    "tamper",
    [
        tampered("links", lambda a: a.__setitem__((3, 1), 10_000)),
        tampered("links", lambda a: a.__setitem__((3, 0), 9)),
        tampered("upper", lambda a: a.__setitem__(1, 10_000)),
        tampered("upper", lambda a: a.__setitem__(0, 2**31)),
        tampered("levels", lambda a: a.__setitem__(0, 7)),
        tampered("levels", lambda a: a.__setitem__(0, -1)),
        tampered("rows", lambda a: a.__setitem__(0, a[1])),
        lambda state: replace(state, entry=400),
        lambda state: replace(state, entry=-1),
        lambda state: replace(state, top=state.top + 1),
        lambda state: replace(state, upper=state.upper[:-1]),
        lambda state: replace(state, links=state.links[:-1]),
        lambda state: replace(state, rows=state.rows[:0], levels=state.levels[:0], links=state.links[:0]),
        lambda state: replace(state, shape=replace(state.shape, dimension=DIMENSION + 1)),
        lambda state: replace(state, shape=replace(state.shape, links=5)),
    ],
)
def test_links_that_would_crash_native_code_are_refused(tamper: Callable[[GraphState], GraphState]) -> None:
    with pytest.raises(GraphError):
        Graph.restored(tamper(graph_over(200).state()), unit(200, 1))


def test_a_graph_is_not_put_together_with_another_number_of_vectors() -> None:
    with pytest.raises(GraphError):
        Graph.restored(graph_over(200).state(), unit(199, 1))


def cut_off(state: GraphState, node: int) -> GraphState:
    """The same links without any that leads to a node."""
    links = state.links.copy()
    for own in links:
        kept = [n for n in own[1 : 1 + own[0]] if n != node]
        own[0], own[1 : 1 + len(kept)] = len(kept), kept
    return replace(state, links=links)


def test_a_row_that_no_link_leads_to_is_found_all_the_same() -> None:
    vectors = unit(200, 1)
    state = graph_over(200).state()
    node = (state.entry + 1) % 200
    graph = Graph.restored(cut_off(state, node), vectors)
    lost = int(state.rows[node])
    assert lost in graph.unreachable.tolist()
    assert unreachable_rows(state).tolist() == []
    graph.widen(256)
    keys = np.arange(200)
    index = HnswIndex(TemplateRows.empty(DIMENSION).appended(keys, keys, vectors), graph)
    assert index.search(vectors[lost : lost + 1], 1)[0].tolist() == [[lost]]
    assert index.removed(np.array([lost])).search(vectors[lost : lost + 1], 1)[0].tolist() != [[lost]]


def test_calibration_takes_the_narrowest_width_that_is_good_enough() -> None:
    vectors = unit(2_000, 1)
    graph = Graph.built(vectors, GraphShape(DIMENSION), threads=2, cancelled=never)
    calibrate(graph, vectors, recall=0.5, threads=2)
    assert graph.width == WIDTHS[0]
    assert graph.recall >= 0.5


def test_calibration_that_cannot_reach_the_recall_ends_at_the_widest() -> None:
    vectors = unit(2_000, 1)
    graph = Graph.built(vectors, SHAPE, threads=2, cancelled=never)
    calibrate(graph, vectors, recall=1.1, threads=2)
    assert graph.width == WIDTHS[-1]
    assert 0.5 < graph.recall <= 1
