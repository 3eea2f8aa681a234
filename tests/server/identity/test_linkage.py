import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist

from server.identity.linkage import Leeway, average_linkage


def unit(count: int, seed: int, dimension: int = 6) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, dimension))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def nobody_apart(count: int) -> np.ndarray:
    return np.zeros((count, count), np.bool_)


def same_partition(first: np.ndarray, second: np.ndarray) -> bool:
    return bool(((first[:, None] == first) == (second[:, None] == second)).all())


@pytest.mark.parametrize("threshold", [0.3, 0.8, 1.3])
@pytest.mark.parametrize("seed", range(5))
def test_is_scipys_average_linkage(seed, threshold):
    vectors = unit(40, seed)

    labels = average_linkage(vectors, np.ones(40), nobody_apart(40), threshold)

    wanted = fcluster(linkage(pdist(vectors, "sqeuclidean"), "average"), threshold, "distance")
    assert same_partition(labels, wanted)


def test_a_point_that_stands_for_many_counts_as_many():
    vectors = unit(30, 1)
    first = average_linkage(vectors, np.ones(30), nobody_apart(30), 0.4)
    groups = np.unique(first)
    sums = np.stack([vectors[first == group].sum(axis=0) for group in groups])
    counts = np.array([(first == group).sum() for group in groups], np.float64)

    second = average_linkage(sums, counts, nobody_apart(len(groups)), 1.1)

    alone = average_linkage(vectors, np.ones(30), nobody_apart(30), 1.1)
    assert same_partition(second[np.searchsorted(groups, first)], alone)


@pytest.mark.parametrize("seed", range(5))
def test_points_that_are_apart_never_meet(seed):
    vectors = unit(30, seed, dimension=2)
    apart = np.triu(np.random.default_rng(seed).random((30, 30)) < 0.1, 1)
    apart |= apart.T

    labels = average_linkage(vectors, np.ones(30), apart, 4.0)

    assert not (apart & (labels[:, None] == labels)).any()


def test_leaves_as_many_clusters_as_are_wanted():
    labels = average_linkage(unit(20, 3), np.ones(20), nobody_apart(20), 4.0, fewest=3)

    assert len(np.unique(labels)) == 3


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_and_one_point_stay_as_they_are(count):
    assert average_linkage(unit(count, 0), np.ones(count), nobody_apart(count), 4.0).tolist() == list(range(count))


def test_labels_are_the_smallest_position_of_their_cluster():
    labels = average_linkage(unit(25, 4), np.ones(25), nobody_apart(25), 1.0)

    assert all(label == np.flatnonzero(labels == label)[0] for label in labels)


def test_a_single_face_may_be_farther_from_a_large_group():
    counts = np.array([1.0, 5.0, 9.0, 100.0])

    assert Leeway(most=0.1).of(1.0, counts).tolist() == pytest.approx([0, 0.05, 0.1, 0.1])


def test_between_large_groups_there_is_hardly_any_leeway():
    assert Leeway(most=0.1, caution=0.3).of(10.0, np.array([20.0])) == pytest.approx(0.01)


def test_two_small_groups_must_be_nearer_than_two_single_faces():
    leeway = Leeway(caution=0.3)

    assert leeway.of(1.0, np.array([1.0, 3.0])).tolist() == [0, 0]
    assert leeway.of(2.0, np.array([3.0]))[0] == pytest.approx(-0.3 * (1 / 2) * (2 / 3) * (3 / 4))


def test_lookalike_groups_that_the_mean_would_merge_are_held_apart_by_caution():
    first, second = np.array([[1.0, 0.0]] * 3), np.array([[0.4, np.sqrt(1 - 0.16)]] * 3)
    vectors = np.concatenate([first, second])

    merged = average_linkage(vectors, np.ones(6), nobody_apart(6), 1.25)
    apart = average_linkage(vectors, np.ones(6), nobody_apart(6), 1.25, leeway=Leeway(caution=0.3))

    assert len(np.unique(merged)) == 1
    assert apart.tolist() == [0, 0, 0, 3, 3, 3]
