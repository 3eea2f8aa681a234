"""A track's template is the weighted mean of its best looks and forgets the worst."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain import Look
from server.identity.track_template import TrackTemplate
from tests.server.identity.crowd import DIMENSION, unit


def looks(*qualities, seed=1):
    return [
        Look(embedding, quality, at_ns)
        for at_ns, (embedding, quality) in enumerate(zip(unit(len(qualities), seed), qualities, strict=True))
    ]


def template_of(some, at_most=5):
    template = TrackTemplate((some[0],))
    for look in some[1:]:
        template = template.with_look(look, at_most=at_most)
    return template


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(1, 6))
def test_the_best_looks_are_kept_and_of_equal_ones_the_newer(qualities, at_most):
    some = looks(*qualities)
    kept = template_of(some, at_most).looks
    assert list(kept) == sorted(some, key=lambda look: (look.quality, look.at_ns), reverse=True)[:at_most]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_the_embedding_is_the_mean_weighted_by_quality_where_even_the_worst_counts_a_little(qualities):
    some = looks(*qualities)
    mean = np.zeros(DIMENSION)
    for look in some:
        mean += max(0.05, look.quality) * look.embedding.astype(np.float64)
    embedding = template_of(some).embedding
    np.testing.assert_allclose(embedding, mean / np.linalg.norm(mean), atol=1e-5)
    assert embedding.dtype == np.float32
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-6)


def test_a_look_that_is_worse_than_all_that_are_kept_changes_nothing():
    before = template_of(looks(0.9, 0.8, 0.7), at_most=3)
    (bad,) = looks(0.1, seed=2)
    after = before.with_look(bad, at_most=3)
    assert after is before
    assert not after.holds(bad)


def test_a_template_holds_the_very_looks_that_it_is_made_of():
    first, twin = looks(0.9)[0], looks(0.9)[0]
    template = TrackTemplate((first,))
    assert template.holds(first)
    assert not template.holds(twin)


def test_looks_that_cancel_out_leave_the_best_one():
    (best,) = looks(0.5)
    template = TrackTemplate((best, Look(-best.embedding, 0.5, 1)))
    np.testing.assert_array_equal(template.embedding, best.embedding)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_the_coherence_is_the_norm_of_the_weighted_mean_before_it_was_made_one(qualities):
    some = looks(*qualities)
    weights = [max(0.05, look.quality) for look in some]
    mean = sum(w * look.embedding.astype(np.float64) for w, look in zip(weights, some, strict=True)) / sum(weights)
    assert template_of(some).coherence == pytest.approx(np.linalg.norm(mean), abs=1e-6)


def test_one_look_is_wholly_coherent_and_so_are_looks_that_are_the_same():
    (one,) = looks(0.6)
    assert template_of([one]).coherence == pytest.approx(1, abs=1e-6)
    assert template_of([one, Look(one.embedding, 0.2, 1)]).coherence == pytest.approx(1, abs=1e-6)


def test_looks_that_cancel_out_are_as_coherent_as_the_one_that_is_left():
    (best,) = looks(0.5)
    assert TrackTemplate((best, Look(-best.embedding, 0.5, 1))).coherence == 1


def test_the_distance_is_squared_l2():
    template = template_of(looks(0.9, 0.4))
    for other in unit(10, 3):
        assert template.distance(other) == pytest.approx(np.sum((template.embedding - other) ** 2), abs=1e-5)
    assert template.distance(template.embedding) == pytest.approx(0, abs=1e-6)


def test_noise_of_single_looks_averages_out():
    (truth,) = unit(1, 9)
    rng = np.random.default_rng(4)
    noisy = truth + rng.normal(0, 0.15, (5, DIMENSION))
    noisy = (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)
    template = template_of([Look(embedding, 0.8, i) for i, embedding in enumerate(noisy)])
    assert template.distance(truth) < min(float(np.sum((each - truth) ** 2)) for each in noisy)
