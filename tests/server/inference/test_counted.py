"""Batches are counted when they have run."""

from __future__ import annotations

import numpy as np
import pytest

from server.errors import InferenceError
from server.inference.backend import FakeBackend
from server.inference.combine import CombiningBackend
from server.inference.counted import CountedBackend


def sums(batch):
    return (batch.sum(axis=(1, 2, 3)).reshape(-1, 1),)


@pytest.fixture
def ran():
    return []


def test_each_batch_is_counted_with_its_images_and_its_time(ran):
    backend = CountedBackend(FakeBackend(sums, seconds=0.002), lambda images, spent_ns: ran.append((images, spent_ns)))
    for images in (1, 5):
        backend.run(np.zeros((images, 3, 4, 4), np.float32))
    assert [images for images, _ in ran] == [1, 5]
    assert all(spent_ns >= 2_000_000 for _, spent_ns in ran)


def test_what_is_counted_beneath_a_combining_backend_is_the_batches_that_the_network_sees(ran):
    fake = FakeBackend(sums)
    counted = CountedBackend(fake, lambda images, spent_ns: ran.append(images))
    CombiningBackend(counted, max_batch=32).run(np.zeros((5, 3, 4, 4), np.float32))
    assert ran == [shape[0] for shape in fake.calls] == [4, 1]


def test_a_batch_that_failed_is_not_counted(ran):
    backend = CountedBackend(FakeBackend(sums, failure=RuntimeError("broken")), lambda *batch: ran.append(batch))
    with pytest.raises(InferenceError):
        backend.run(np.zeros((1, 3, 4, 4), np.float32))
    assert ran == []
