"""Concurrent calls run together and each gets its own answer."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from server.errors import InferenceError
from server.inference.backend import FakeBackend, check_outputs
from server.inference.combine import CombiningBackend


def sums(batch):
    return (batch.sum(axis=(1, 2, 3)).reshape(-1, 1),)


def images(count, value=1.0, side=4):
    return np.full((count, 3, side, side), value, np.float32)


def test_each_caller_gets_its_own_rows_whatever_else_is_in_the_batch():
    backend = CombiningBackend(FakeBackend(sums, seconds=0.002), max_batch=16)
    sizes = [(i % 3 + 1, float(i), 4 if i % 5 else 8) for i in range(60)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda size: backend.run(images(*size))[0], sizes))
    for (count, value, side), answer in zip(sizes, answers, strict=True):
        np.testing.assert_allclose(answer, np.full((count, 1), value * 3 * side * side), rtol=1e-5)


class GatedBackend:
    """Holds its first batch until told, so that a test decides who waits for it."""

    name = "gated"

    def __init__(self):
        self.entered, self.gate, self.sizes = threading.Event(), threading.Event(), []

    def run(self, batch):
        self.sizes.append(len(batch))
        self.entered.set()
        assert self.gate.wait(10)
        return sums(batch)

    def close(self):
        """Nothing to release."""


class CheckingBackend:
    """Refuses what isn't finite, as every real backend does."""

    name = "checking"

    def __init__(self, backend):
        self._backend = backend

    def run(self, batch):
        return check_outputs(self._backend.run(batch), len(batch))

    def close(self):
        """Nothing to release."""


def waiting_calls(backend, gated, batches):
    """Starts one call that is held in the network, then the others, which wait behind it in order."""
    pool = ThreadPoolExecutor(len(batches) + 1)
    first = pool.submit(backend.run, images(1))
    assert gated.entered.wait(10)
    rest = []
    for batch in batches:
        before = len(backend._waiting)
        rest.append(pool.submit(backend.run, batch))
        while len(backend._waiting) == before:
            pass
    return pool, [first, *rest]


def test_calls_that_wait_run_in_one_batch():
    gated = GatedBackend()
    pool, calls = waiting_calls(backend := CombiningBackend(gated, max_batch=8), gated, [images(1)] * 4)
    gated.gate.set()
    for call in calls:
        call.result(10)
    pool.shutdown()
    assert gated.sizes == [1, 4]
    assert backend._waiting == []


def test_a_batch_stays_within_its_limit_and_a_larger_call_runs_alone():
    gated = GatedBackend()
    pool, calls = waiting_calls(
        CombiningBackend(gated, max_batch=4), gated, [images(2), images(2), images(1), images(8)]
    )
    gated.gate.set()
    for call in calls:
        call.result(10)
    pool.shutdown()
    assert gated.sizes == [1, 4, 1, 8]


def test_a_failure_reaches_its_caller_and_the_next_call_runs():
    failing = CombiningBackend(FakeBackend(sums, failure=RuntimeError("lost")), max_batch=8)
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(failing.run, images(1)) for _ in range(4)]
        for call in calls:
            with pytest.raises(InferenceError):
                call.result(10)
    with pytest.raises(InferenceError):
        failing.run(images(1))


def test_one_bad_batch_does_not_fail_those_that_ran_with_it():
    gated = GatedBackend()
    backend = CombiningBackend(CheckingBackend(gated), max_batch=8)
    pool, calls = waiting_calls(backend, gated, [images(1), images(1, np.nan), images(2)])
    gated.gate.set()
    with pytest.raises(InferenceError):
        calls[2].result(10)
    assert [len(calls[i].result(10)[0]) for i in (0, 1, 3)] == [1, 1, 2]
    pool.shutdown()


def test_urgent_calls_go_before_patient_ones_that_came_earlier():
    gated = GatedBackend()
    backend = CombiningBackend(gated, max_batch=3)
    patient = backend.patient()
    pool = ThreadPoolExecutor(4)
    first = pool.submit(backend.run, images(1))
    assert gated.entered.wait(10)
    calls = [first]
    for run, count in ((patient.run, 2), (patient.run, 2), (backend.run, 2)):
        before = len(backend._waiting)
        calls.append(pool.submit(run, images(count, float(len(calls)))))
        while len(backend._waiting) == before:
            pass
    order = [call.patient for call in backend._waiting]
    gated.gate.set()
    answers = [call.result(10)[0] for call in calls]
    pool.shutdown()
    assert order == [False, True, True]
    assert [answer[0, 0] for answer in answers[1:]] == [48, 96, 144]


def test_patient_calls_go_along_where_a_batch_has_room():
    gated = GatedBackend()
    backend = CombiningBackend(gated, max_batch=8)
    pool = ThreadPoolExecutor(3)
    calls = [pool.submit(backend.run, images(1))]
    assert gated.entered.wait(10)
    for run in (backend.patient().run, backend.run):
        before = len(backend._waiting)
        calls.append(pool.submit(run, images(2)))
        while len(backend._waiting) == before:
            pass
    gated.gate.set()
    for call in calls:
        call.result(10)
    pool.shutdown()
    assert gated.sizes == [1, 4]


def test_an_idle_network_waits_for_company_as_long_as_it_may():
    counting = GatedBackend()
    counting.gate.set()
    backend = CombiningBackend(counting, max_batch=4, max_delay_s=30)
    with ThreadPoolExecutor(4) as pool:
        for call in [pool.submit(backend.run, images(1, value)) for value in (1.0, 2.0, 3.0, 4.0)]:
            call.result(10)
    assert counting.sizes == [4]


def test_a_call_that_nobody_joins_runs_alone_after_the_delay():
    backend = CombiningBackend(FakeBackend(sums), max_batch=8, max_delay_s=0.01)
    np.testing.assert_allclose(backend.run(images(1))[0], [[48]])


def test_lanes_that_wait_for_company_lose_no_call():
    backend = CombiningBackend(FakeBackend(sums), max_batch=4, lanes=3, max_delay_s=0.002)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda i: backend.run(images(1, float(i)))[0][0, 0], range(300)))
    assert answers == [48.0 * i for i in range(300)]
