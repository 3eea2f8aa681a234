from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np

from server.identity.sightings.promoting import promoted
from tests.server.identity.crowd import QUALITY, unit
from tests.server.identity.sightings.passers import fit


def qualities(*scores):
    return [replace(QUALITY, score=score) for score in scores]


def test_the_best_face_comes_first_and_poor_ones_never():
    assert promoted(unit(4, 1), qualities(0.5, 0.1, 0.9, 0.2), fit) == [2, 0]
    assert promoted(unit(2, 1), qualities(0.1, 0.2), fit) == []
    assert promoted(np.zeros((0, 0), np.float32), [], fit) == []


def test_faces_that_look_the_same_are_one():
    vectors = np.repeat(unit(2, 3), 5, axis=0)
    assert sorted(promoted(vectors, qualities(*[0.9] * 10), fit)) == [0, 5]


def test_the_choice_is_within_a_factor_of_two_of_the_most_diverse_one():
    vectors = unit(9, 5)
    chosen = promoted(vectors, qualities(0.95, *[0.9] * 8), fit, most=3)
    radius = {
        some: max(min(float(((v - vectors[i]) ** 2).sum()) ** 0.5 for i in some) for v in vectors)
        for some in combinations(range(9), 3)
    }
    assert radius[tuple(sorted(chosen))] <= 2 * min(radius.values())
