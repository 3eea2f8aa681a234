"""Faces go to tracks one to one, at the least cost in all: checked against every permutation and naive loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.identity.associate import associate, iou


@st.composite
def boxes(draw, at_most):
    """Some boxes on a small field, so that many overlap, with sides that make some unlike in size."""
    rows = draw(
        st.lists(
            st.tuples(st.integers(0, 60), st.integers(0, 60), st.sampled_from([4, 10, 14, 30]), st.integers(4, 30)),
            max_size=at_most,
        )
    )
    return np.asarray([[x, y, x + width, y + height] for x, y, width, height in rows], np.float32).reshape(-1, 4)


def naive_iou(a, b):
    across = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    down = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    shared = across * down
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - shared
    return shared / area


def naive_cost(track, reach, face):
    """What pairing them costs; None when they are no pair."""
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (track, face)]
    if not 0.5 < math.sqrt(areas[0] / areas[1]) < 2:
        return None
    overlap = naive_iou(track, face)
    if overlap > 0:
        return 1 - overlap
    middles = [((box[0] + box[2]) / 2, (box[1] + box[3]) / 2) for box in (track, face)]
    distance = math.dist(*middles)
    return 1 + distance / reach if distance <= reach else None


def cheapest(costs, tracks, faces):
    """(how many pairs, their cost) of the best assignment, by trying all: most pairs first, then least cost."""
    best = (0, 0.0)
    for order in itertools.permutations(list(range(faces)) + [None] * tracks, tracks):
        paid = [costs[t][f] for t, f in enumerate(order) if f is not None and costs[t][f] is not None]
        best = min(best, (-len(paid), sum(paid)))
    return -best[0], best[1]


@given(boxes(at_most=4), boxes(at_most=4), st.sampled_from([5.0, 20.0, 80.0]))
@settings(max_examples=60)
def test_no_assignment_of_all_there_are_has_more_pairs_or_costs_less(tracks, faces, reach):
    costs = [[naive_cost(track, reach, face) for face in faces.tolist()] for track in tracks.tolist()]
    pairs = associate(tracks.astype(np.float64), np.full(len(tracks), reach), faces)
    paid = [costs[pair.track][pair.face] for pair in pairs]
    assert None not in paid
    count, cost = cheapest(costs, len(tracks), len(faces))
    assert len(paid) == count
    assert sum(paid) == pytest.approx(cost, abs=1e-5)


@given(boxes(at_most=6), boxes(at_most=6))
def test_no_track_and_no_face_is_given_twice(tracks, faces):
    pairs = associate(tracks.astype(np.float64), np.full(len(tracks), 30.0), faces)
    assert len({pair.track for pair in pairs}) == len({pair.face for pair in pairs}) == len(pairs)


@given(boxes(at_most=5), boxes(at_most=5))
def test_overlaps_are_those_of_naive_loops(first, second):
    expected = [[naive_iou(a, b) for b in second.tolist()] for a in first.tolist()]
    np.testing.assert_allclose(iou(first, second), np.reshape(expected, (len(first), len(second))), atol=1e-6)


def test_a_pair_tells_its_overlap_and_none_when_it_is_only_near():
    tracks = np.asarray([[0, 0, 10, 10], [100, 0, 110, 10]], np.float64)
    faces = np.asarray([[112, 0, 122, 10], [0, 5, 10, 15]], np.float32)
    overlaps = {(pair.track, pair.face): pair.overlap for pair in associate(tracks, np.asarray([20.0, 20.0]), faces)}
    assert overlaps == {(0, 1): pytest.approx(1 / 3), (1, 0): 0}


def test_two_who_come_close_keep_the_assignment_that_is_best_for_both():
    # the first face is nearest to both tracks; taking it greedily would leave the other track with nothing
    tracks = np.asarray([[0, 0, 10, 10], [4, 0, 14, 10]], np.float64)
    faces = np.asarray([[3, 0, 13, 10], [11, 0, 21, 10]], np.float32)
    assert {(pair.track, pair.face) for pair in associate(tracks, np.zeros(2), faces)} == {(0, 0), (1, 1)}


def test_a_face_beyond_reach_or_of_another_size_continues_nothing():
    track = np.asarray([[0, 0, 10, 10]], np.float64)
    for face in ([40, 0, 50, 10], [0, 0, 21, 21], [0, 0, 4, 4]):
        assert associate(track, np.asarray([20.0]), np.asarray([face], np.float32)) == ()


@pytest.mark.parametrize(("tracks", "faces"), [(0, 0), (0, 3), (3, 0)])
def test_without_tracks_or_faces_there_are_no_pairs(tracks, faces):
    boxes = np.tile(np.asarray([[0, 0, 10, 10]], np.float32), (3, 1))
    assert associate(boxes[:tracks].astype(np.float64), np.ones(tracks), boxes[:faces]) == ()


def test_boxes_without_an_area_overlap_nothing_and_raise_nothing():
    point = np.zeros((1, 4), np.float32)
    assert iou(point, point).item() == 0
    assert associate(point.astype(np.float64), np.ones(1), point) == ()
