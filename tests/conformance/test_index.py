"""One suite for every index: it answers as comparing with all living templates in float64 does."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

from server.domain import Embeddings
from server.identity.graph import Graph
from server.identity.graph_state import GraphShape
from server.identity.hnsw import HnswIndex
from server.identity.index import BruteForceIndex, TemplateIndex

DIMENSION = 24
Builder = Callable[[Embeddings], TemplateIndex]


def unit(count: int, seed: int) -> Embeddings:
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSION))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def exact(vectors: Embeddings) -> BruteForceIndex:
    labels = np.arange(1, len(vectors) + 1)
    return BruteForceIndex.empty(DIMENSION).added(labels, labels * 10, vectors)


def hnsw(vectors: Embeddings) -> HnswIndex:
    """A graph over the first two thirds, the rest beside it."""
    whole = exact(vectors)
    base = vectors[: max(1, 2 * len(vectors) // 3)]
    graph = Graph.built(base, GraphShape(DIMENSION, 16, 100), threads=1, cancelled=lambda: False)
    graph.widen(256)
    return HnswIndex(whole.rows, graph)


@pytest.fixture(params=[exact, hnsw])
def build(request: pytest.FixtureRequest) -> Builder:
    return request.param


def truth(vectors: Embeddings, query: Embeddings, living: set[int]) -> list[tuple[float, int]]:
    """(distance, label) of the living, nearest first, in float64."""
    wide = ((vectors.astype(np.float64) - query.astype(np.float64)) ** 2).sum(axis=1)
    return sorted((distance, label) for label, distance in enumerate(wide, 1) if label in living)


def assert_agrees(index: TemplateIndex, vectors: Embeddings, living: set[int], k: int) -> None:
    queries = np.concatenate([unit(6, 99), vectors[:3]])
    labels, distances = index.search(queries, k)
    width = min(k, len(living))
    assert labels.shape == distances.shape == (len(queries), width)
    assert labels.dtype == np.int64
    assert distances.dtype == np.float32
    for row, query in enumerate(queries):
        nearest = truth(vectors, query, living)[:width]
        np.testing.assert_allclose(distances[row], [d for d, _ in nearest], atol=1e-5)
        assert len(set(labels[row])) == width
        assert set(labels[row]) <= living
        assert (np.diff(distances[row]) >= 0).all()


@pytest.mark.parametrize("k", [1, 5, 300, 10_000])
def test_the_nearest_templates_come_back_in_order(build: Builder, k: int) -> None:
    vectors = unit(300, 1)
    assert_agrees(build(vectors), vectors, set(range(1, 301)), k)


def test_every_template_finds_itself(build: Builder) -> None:
    vectors = unit(300, 2)
    labels, distances = build(vectors).search(vectors, 1)
    assert labels[:, 0].tolist() == list(range(1, 301))
    assert (distances == 0).all()


def test_the_same_vector_twice_ranks_by_label(build: Builder) -> None:
    vectors = unit(40, 3)
    vectors[[4, 17, 39]] = vectors[4]
    labels, _ = build(vectors).search(vectors[4:5], 3)
    assert labels.tolist() == [[5, 18, 40]]


def test_one_template_answers_every_question(build: Builder) -> None:
    labels, _ = build(unit(1, 4)).search(unit(3, 5), 7)
    assert labels.tolist() == [[1], [1], [1]]


def test_no_queries_give_no_answers(build: Builder) -> None:
    labels, distances = build(unit(5, 6)).search(np.zeros((0, DIMENSION), np.float32), 2)
    assert labels.shape == distances.shape == (0, 2)


def test_removed_templates_never_come_back_and_the_others_still_do(build: Builder) -> None:
    vectors = unit(300, 7)
    gone = np.arange(1, 300, 2)
    index = build(vectors).removed(gone)
    living = set(range(1, 301)) - set(gone.tolist())
    assert len(index) == len(living)
    for k in (1, 10, 500):
        assert_agrees(index, vectors, living, k)


def test_neighbours_that_are_all_removed_don_t_hide_the_living_ones_behind_them(build: Builder) -> None:
    crowd = unit(1, 8) + 0.01 * unit(200, 9)
    vectors = np.concatenate([crowd / np.linalg.norm(crowd, axis=1, keepdims=True), unit(100, 10)]).astype(np.float32)
    index = build(vectors).removed(np.arange(1, 201))
    assert_agrees(index, vectors, set(range(201, 301)), 3)


def test_everything_removed_is_an_empty_index(build: Builder) -> None:
    index = build(unit(30, 11)).removed(np.arange(1, 31))
    assert len(index) == 0
    assert index.search(unit(2, 12), 3)[0].shape == (2, 0)


def test_removing_what_is_not_there_changes_nothing(build: Builder) -> None:
    vectors = unit(20, 13)
    index = build(vectors).removed(np.array([0, 21, 1_000])).removed(np.array([5])).removed(np.array([5]))
    assert_agrees(index, vectors, set(range(1, 21)) - {5}, 4)


def test_added_templates_are_found_at_once(build: Builder) -> None:
    vectors = unit(90, 14)
    index = build(vectors[:60]).added(np.arange(61, 91), np.arange(61, 91), vectors[60:])
    assert_agrees(index, vectors, set(range(1, 91)), 5)


def test_an_index_does_not_change_when_another_is_made_from_it(build: Builder) -> None:
    vectors = unit(60, 15)
    index = build(vectors[:50])
    one = index.added(np.arange(51, 61), np.arange(51, 61), vectors[50:])
    other = index.added(np.arange(51, 61), np.arange(51, 61), vectors[40:50]).removed(np.arange(1, 20))
    assert_agrees(index, vectors, set(range(1, 51)), 5)
    assert_agrees(one, vectors, set(range(1, 61)), 5)
    twins = np.concatenate([vectors[:50], vectors[40:50]])
    assert_agrees(other, twins, set(range(20, 61)), 5)


def test_owners_are_those_that_were_given(build: Builder) -> None:
    index = build(unit(30, 16))
    labels, _ = index.search(unit(1, 17), 30)
    owners = index.rows.owners[index.rows.positions(labels[0])]
    assert (owners == labels[0] * 10).all()


def test_labels_that_don_t_ascend_are_refused(build: Builder) -> None:
    index = build(unit(10, 18))
    with pytest.raises(ValueError, match="must ascend"):
        index.added(np.array([10]), np.array([1]), unit(1, 19))


def test_threads_that_search_while_others_change_the_index_get_right_answers(build: Builder) -> None:
    vectors = unit(400, 20)
    newest = [build(vectors[:200])]
    wrong: list[str] = []
    done = threading.Event()

    def search() -> None:
        while not done.is_set():
            index = newest[0]
            labels, distances = index.search(vectors[:4], 2)
            if labels[:, 0].tolist() != [1, 2, 3, 4] or not (distances[:, 0] == 0).all():
                wrong.append(f"{labels} {distances}")

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for label in range(201, 401):
        newest[0] = newest[0].added(np.array([label]), np.array([label]), vectors[label - 1 : label])
        newest[0] = newest[0].removed(np.array([label - 100]))
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert_agrees(newest[0], vectors, set(range(1, 101)) | set(range(301, 401)), 5)
