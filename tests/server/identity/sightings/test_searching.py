"""A search of the past compares a face with every sighting."""

from __future__ import annotations

import numpy as np
import pytest

from tests.server.identity.crowd import DIMENSION, GALLERY, enrol
from tests.server.identity.sightings.passers import face_of


@pytest.fixture
def passed(hall):
    """Templates of twelve sightings of six people, by track."""
    reports = [hall.passes(person) for person in (1, 2, 3, 4, 5, 6) * 2]
    return {report.track: report.template for report in reports}


@pytest.mark.parametrize("limit", [1, 5, 100])
def test_the_nearest_are_those_of_a_comparison_with_each(sightings, passed, limit):
    queries = np.stack([face_of(person, 77, dimension=DIMENSION) for person in (2, 5, 9)])
    found = sightings.search(GALLERY, queries, limit=limit, include_identified=True)
    for query, candidates in zip(queries, found.candidates, strict=True):
        distances = {track: float(np.sum((template - query) ** 2)) for track, template in passed.items()}
        nearest = sorted(distances, key=distances.__getitem__)[:limit]
        assert [near.sighting.track for near in candidates] == nearest
        assert [near.distance for near in candidates] == pytest.approx(
            [distances[track] for track in nearest], abs=1e-5
        )
    assert found.searched_count == len(passed)


def test_sightings_of_people_who_are_enrolled_are_compared_only_when_asked_for(hall, sightings, galleries):
    enrol(galleries, "Ada", face_of(1, 0, dimension=DIMENSION)[None])
    known, stranger = hall.passes(1), hall.passes(2)
    query = known.template[None]

    def tracks(*, everybody):
        (candidates,) = sightings.search(GALLERY, query, limit=9, include_identified=everybody).candidates
        return [near.sighting.track for near in candidates]

    assert tracks(everybody=False) == [stranger.track]
    assert tracks(everybody=True) == [known.track, stranger.track]


def test_nobody_is_found_where_nobody_was(sightings):
    found = sightings.search(GALLERY, face_of(1, 0, dimension=DIMENSION)[None], limit=3, include_identified=True)
    assert (found.candidates, found.searched_count) == (((),), 0)
