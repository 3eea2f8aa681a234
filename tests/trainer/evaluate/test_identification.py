from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from trainer.errors import DatasetError
from trainer.evaluate.identification import ROWS, Labelled, nearest, open_set, rank_one


def faces(count, people, *, seed, noise=0.6):
    drawn = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(people, 16))
    labels = drawn.integers(people, size=count)
    points = centres[labels] + noise * drawn.normal(size=(count, 16)) * 2
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return Labelled(points.astype(np.float32), labels)


def naive_distance(left, right):
    return sum((float(a) - float(b)) ** 2 for a, b in zip(left, right, strict=True))


def test_rank_one_agrees_with_scikit_learn():
    gallery, probes = faces(60, 8, seed=1), faces(90, 8, seed=2)
    theirs = KNeighborsClassifier(1).fit(gallery.embeddings, gallery.labels)
    want = np.mean(theirs.predict(probes.embeddings) == probes.labels)
    ours = rank_one(gallery, probes)
    assert ours.value == want
    assert 0.3 < want < 1


def test_several_neighbours_vote_and_the_nearest_breaks_a_tie():
    gallery, probes = faces(30, 4, seed=1), faces(40, 4, seed=2)
    right = 0
    for probe, label in zip(probes.embeddings, probes.labels, strict=True):
        ranked = sorted(range(30), key=lambda g: naive_distance(probe, gallery.embeddings[g]))[:5]
        voters = [gallery.labels[g] for g in ranked]
        most = max(voters.count(person) for person in voters)
        winner = next(person for person in voters if voters.count(person) == most)
        right += winner == label
    assert rank_one(gallery, probes, neighbours=5).value == right / 40


def test_more_probes_than_a_chunk_are_all_counted():
    gallery, probes = faces(20, 4, seed=1), faces(ROWS + 7, 4, seed=2)
    assert rank_one(gallery, probes).trials == ROWS + 7
    distance, people = nearest(gallery, probes.embeddings)
    assert len(distance) == len(people) == ROWS + 7


@pytest.mark.parametrize("target", [0.02, 0.2])
def test_open_set_identification_agrees_with_a_naive_loop(target):
    gallery, probes, strangers = faces(40, 8, seed=1), faces(60, 8, seed=2), faces(50, 50, seed=3)
    ours = open_set(gallery, probes, strangers.embeddings, target=target)

    def search(probe):
        found = [naive_distance(probe, row) for row in gallery.embeddings]
        best = min(range(40), key=found.__getitem__)
        return found[best], gallery.labels[best]

    def shares(threshold):
        named = [
            (distance <= threshold, who == label)
            for (distance, who), label in zip(map(search, probes.embeddings), probes.labels, strict=True)
        ]
        strange = [search(probe)[0] <= threshold for probe in strangers.embeddings]
        return (
            sum(name and right for name, right in named) / 60,
            sum(name and not right for name, right in named) / 60,
            sum(strange) / 50,
        )

    want = shares(ours.threshold - 1e-9)
    assert (ours.identified.value, ours.misnamed.value, ours.accepted_strangers.value) == want
    assert ours.accepted_strangers.value <= target
    assert shares(ours.threshold + 1e-6)[2] > target


def test_too_few_strangers_for_the_far_are_refused():
    gallery = faces(10, 3, seed=1)
    with pytest.raises(DatasetError, match="100"):
        open_set(gallery, gallery, gallery.embeddings, target=0.01)


@pytest.mark.parametrize("neighbours", [0, 11])
def test_an_impossible_number_of_neighbours_is_refused(neighbours):
    gallery = faces(10, 3, seed=1)
    with pytest.raises(DatasetError, match="neighbour"):
        rank_one(gallery, gallery, neighbours=neighbours)


def test_a_test_without_probes_is_refused():
    none = Labelled(np.zeros((0, 16), np.float32), np.zeros(0, np.intp))
    with pytest.raises(DatasetError, match="no probe"):
        rank_one(faces(10, 3, seed=1), none)


def test_embeddings_and_labels_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="don't agree"):
        Labelled(np.zeros((2, 4), np.float32), np.zeros(3, np.intp))
