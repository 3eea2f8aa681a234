"""Batches are cut and padded to a few lengths, and nobody sees it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import InferenceError
from server.inference.backend import FakeBackend
from server.inference.batch import BUCKETS, CPU_WASTE, pad, plan, run_in_buckets

lengths = st.integers(1, 300)
wastes = st.sampled_from([0.0, CPU_WASTE, 0.25, 1.0])


def sums(batch: np.ndarray) -> tuple[np.ndarray, ...]:
    """One number and one row for each picture."""
    return batch.sum((1, 2, 3)), batch[:, :, 0, 0]


def numbered(length: int) -> np.ndarray:
    return np.arange(length * 12, dtype=np.float32).reshape(length, 3, 2, 2)


@given(lengths, wastes)
def test_a_plan_holds_every_row_in_buckets_and_only_the_last_has_rows_to_spare(length, waste):
    buckets = plan(length, waste=waste)
    assert set(buckets) <= set(BUCKETS)
    spare = sum(buckets) - length
    assert 0 <= spare <= waste * buckets[-1]
    assert list(buckets) == sorted(buckets, reverse=True)


@given(lengths)
def test_no_plan_without_waste_has_fewer_buckets(length):
    """Naive: the fewest coins that pay the length."""
    fewest = [0] + [length] * length
    for amount in range(1, length + 1):
        fewest[amount] = 1 + min(fewest[amount - coin] for coin in BUCKETS if coin <= amount)
    assert len(plan(length, waste=0)) == fewest[length]


@given(lengths)
def test_full_waste_never_splits_below_the_largest_bucket(length):
    assert all(bucket == BUCKETS[-1] for bucket in plan(length, waste=1)[:-1])


def test_plans_for_a_processor_split_rather_than_pad():
    assert [plan(length) for length in (1, 3, 5, 15, 33)] == [(1,), (2, 1), (4, 1), (16,), (32, 1)]


@pytest.mark.parametrize("length", [0, -1])
def test_an_empty_plan_is_refused(length):
    with pytest.raises(ValueError, match=str(length)):
        plan(length)


def test_padding_repeats_the_last_row_and_leaves_full_batches_alone():
    batch = numbered(3)
    padded = pad(batch, 4)
    np.testing.assert_array_equal(padded[:3], batch)
    np.testing.assert_array_equal(padded[3], batch[2])
    assert pad(batch, 3) is batch


@given(st.integers(1, 70), wastes)
def test_outputs_are_those_of_one_large_batch(length, waste):
    backend = FakeBackend(sums)
    batch = numbered(length)
    outputs = run_in_buckets(backend, batch, waste=waste)
    for got, want in zip(outputs, sums(batch), strict=True):
        np.testing.assert_array_equal(got, want)
    assert {shape[0] for shape in backend.calls} <= set(BUCKETS)


def test_an_empty_batch_is_refused_by_the_backend():
    with pytest.raises(InferenceError) as caught:
        run_in_buckets(FakeBackend(sums), numbered(0))
    assert caught.value.reason == "INPUT_INVALID"
