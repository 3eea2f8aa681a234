from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trainer.data.catalog import Catalog
from trainer.data.sampler import BatchShape, Sampler
from trainer.errors import DatasetError


def catalog(*counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    names = tuple(f"p{number}" for number in range(len(counts)))
    return Catalog(tuple(Path(str(i)) for i in range(len(labels))), labels, names)


PEOPLE = catalog(5, 9, 1, 4, 6, 1, 2, 8)


def test_a_batch_has_people_times_faces_and_negatives_of_others():
    sampler = Sampler(PEOPLE, BatchShape(people=3, faces=4, negatives=5), seed=1)
    for step in range(20):
        drawn = sampler.batch(step)
        labels = PEOPLE.labels[drawn]
        several = list(dict.fromkeys(labels.tolist()))[:3]
        sizes = [min(4, int(PEOPLE.counts()[person])) for person in several]
        positives = sum(sizes)
        assert labels[:positives].tolist() == list(np.repeat(several, sizes))
        assert len(drawn) == positives + 5
        assert not set(labels[positives:].tolist()) & set(several)
        assert len(set(drawn.tolist())) == len(drawn)


def test_everyone_with_two_crops_comes_once_in_an_epoch():
    sampler = Sampler(PEOPLE, BatchShape(people=2, faces=2, negatives=0), seed=1)
    assert sampler.steps_per_epoch == 3
    for epoch in range(4):
        people = [
            person for step in range(3) for person in np.unique(PEOPLE.labels[sampler.batch(3 * epoch + step)]).tolist()
        ]
        assert sorted(people) == [0, 1, 3, 4, 6, 7]


def test_the_last_step_of_an_epoch_is_filled_up_without_repeating_anybody():
    sampler = Sampler(PEOPLE, BatchShape(people=4, faces=2, negatives=0), seed=1)
    assert sampler.steps_per_epoch == 2
    for step in range(6):
        assert len(np.unique(PEOPLE.labels[sampler.batch(step)])) == 4


def test_a_step_draws_the_same_whatever_was_drawn_before():
    shape = BatchShape(people=3, faces=3, negatives=4)
    first = Sampler(PEOPLE, shape, seed=5)
    history = [first.batch(step) for step in range(7)]
    assert np.array_equal(Sampler(PEOPLE, shape, seed=5).batch(6), history[6])
    assert not np.array_equal(Sampler(PEOPLE, shape, seed=6).batch(6), history[6])


def test_fewer_people_than_asked_for_are_all_taken():
    sampler = Sampler(PEOPLE, BatchShape(people=40, faces=40, negatives=200), seed=0)
    assert sorted(sampler.batch(0).tolist()) == list(range(len(PEOPLE)))


def test_where_everyone_is_taken_the_negatives_are_further_faces_of_theirs():
    both = catalog(6, 6)
    drawn = Sampler(both, BatchShape(people=2, faces=2, negatives=3), seed=0).batch(0)
    assert len(set(drawn.tolist())) == 7


def test_people_with_a_single_crop_are_drawn_as_negatives_only():
    sampler = Sampler(PEOPLE, BatchShape(people=2, faces=2, negatives=10), seed=0)
    for step in range(30):
        labels = PEOPLE.labels[sampler.batch(step)]
        assert not set(labels[:4].tolist()) & {2, 5}


def test_nothing_can_be_sampled_from_one_person():
    with pytest.raises(DatasetError, match="one person"):
        Sampler(catalog(7), BatchShape(), seed=0)


@pytest.mark.parametrize("wrong", [{"people": 0}, {"faces": 1}, {"negatives": -1}, {"people": 1, "negatives": 0}])
def test_a_shape_without_triplets_is_refused(wrong):
    with pytest.raises(ValueError, match="triplets"):
        BatchShape(**wrong)
