from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import pair_confusion_matrix

from trainer.evaluate.clustering import Clustered, b_cubed, clustering_markdown, cut, merges, pairwise


def points(count, people, seed=0):
    drawn = np.random.default_rng(seed)
    labels = drawn.integers(people, size=count)
    centres = drawn.normal(size=(people, 8))
    embeddings = centres[labels] + 0.3 * drawn.normal(size=(count, 8))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings.astype(np.float32), labels


@pytest.mark.parametrize("threshold", [0.1, 0.4, 1.0])
def test_clusters_are_those_of_scikit_learns_average_linkage(threshold):
    embeddings, _ = points(60, 6)
    squared = ((embeddings[:, None] - embeddings[None]) ** 2).sum(2).astype(np.float64)
    theirs = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=threshold
    ).fit_predict(squared)
    ours = cut(merges(embeddings), threshold)
    assert pairwise(ours, theirs).f_score == 1
    assert ours.max() + 1 == len(np.unique(theirs))


def test_clusters_are_numbered_by_their_first_face():
    embeddings, _ = points(40, 5)
    clusters = cut(merges(embeddings), 0.4)
    firsts = [int(np.argmax(clusters == number)) for number in range(clusters.max() + 1)]
    assert firsts == sorted(firsts)


def test_a_single_face_is_a_cluster():
    assert cut(merges(np.ones((1, 4), np.float32)), 1.0).tolist() == [0]


def test_the_table_has_a_row_for_each_threshold_with_the_scores():
    embeddings, labels = points(40, 5)
    tree = merges(embeddings)
    rows = [Clustered.of(cut(tree, limit), labels, limit) for limit in (0.4, 4.0)]
    text = clustering_markdown(rows)
    assert f"| 0.4 | {rows[0].clusters} | {rows[0].by_face.f_score:.2%} |" in text
    assert rows[1].clusters == 1
    assert rows[1].by_pair == pairwise(np.zeros(40, int), labels)


@pytest.mark.parametrize("seed", range(4))
def test_b_cubed_agrees_with_its_definition(seed):
    drawn = np.random.default_rng(seed)
    clusters, labels = drawn.integers(5, size=30), drawn.integers(7, size=30)
    precision = recall = 0.0
    for i in range(30):
        both = sum(clusters[i] == clusters[j] and labels[i] == labels[j] for j in range(30))
        precision += both / sum(clusters[i] == clusters[j] for j in range(30)) / 30
        recall += both / sum(labels[i] == labels[j] for j in range(30)) / 30
    ours = b_cubed(clusters, labels)
    assert ours.precision == pytest.approx(precision)
    assert ours.recall == pytest.approx(recall)
    assert ours.f_score == pytest.approx(2 * precision * recall / (precision + recall))


@pytest.mark.parametrize("seed", range(4))
def test_pairwise_agreement_is_that_of_a_naive_loop_and_of_scikit_learn(seed):
    drawn = np.random.default_rng(seed)
    clusters, labels = drawn.integers(5, size=30), drawn.integers(7, size=30)
    pairs = list(itertools.combinations(range(30), 2))
    together = {(i, j) for i, j in pairs if clusters[i] == clusters[j]}
    one = {(i, j) for i, j in pairs if labels[i] == labels[j]}
    ours = pairwise(clusters, labels)
    assert ours.precision == len(together & one) / len(together)
    assert ours.recall == len(together & one) / len(one)
    (_, wrong), (missed, right) = pair_confusion_matrix(labels, clusters)
    assert ours.precision == right / (right + wrong)
    assert ours.recall == right / (right + missed)


def test_perfect_clusters_agree_perfectly_whatever_their_numbers():
    labels = np.array([4, 4, 9, 9, 1])
    clusters = np.array([0, 0, 1, 1, 7])
    assert b_cubed(clusters, labels).f_score == 1
    assert pairwise(clusters, labels).f_score == 1


def test_everyone_in_one_cluster_has_full_recall_and_poor_precision():
    ours = b_cubed(np.zeros(4, np.intp), np.arange(4))
    assert (ours.precision, ours.recall) == (0.25, 1.0)


def test_everyone_alone_has_made_no_wrong_pair():
    ours = pairwise(np.arange(4), np.zeros(4, np.intp))
    assert (ours.precision, ours.recall, ours.f_score) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize(("clusters", "labels"), [([0], [0, 1]), ([], [])])
def test_clusters_and_labels_must_agree_and_hold_a_face(clusters, labels):
    with pytest.raises(ValueError, match="must agree"):
        b_cubed(np.array(clusters), np.array(labels))
