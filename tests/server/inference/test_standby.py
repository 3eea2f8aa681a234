from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from server.errors import InferenceError, ModelError
from server.inference.backend import FakeBackend
from server.inference.combine import CombiningBackend
from server.inference.standby import Fallback, StandbyBackend, Standing

BATCH = np.zeros((1, 3, 8, 8), np.float32)


def answering(value, name, **options):
    return FakeBackend(lambda batch: (np.full((len(batch), 1), value, np.float32),), name=name, **options)


def value_of(backend):
    return float(backend.run(BATCH)[0][0, 0])


class Losing:
    """A backend whose device is lost when `lost` is set."""

    name = "gpu"

    def __init__(self):
        self.inner = answering(2, "gpu")
        self.lost = threading.Event()
        self.closed = False

    def run(self, batch):
        if self.lost.is_set():
            raise InferenceError("DEVICE_LOST", "the GPU is lost: fell off the bus")
        return self.inner.run(batch)

    def close(self):
        self.closed = True
        self.inner.close()


def standby_of(prepare, fallback=Fallback.CPU, standby=None, told=lambda _status: None):
    return StandbyBackend(standby or answering(1, "cpu"), prepare, wanted="gpu", fallback=fallback, told=told)


def test_the_standby_serves_and_says_so_until_the_other_is_ready():
    go = threading.Event()

    def prepare(_standby):
        go.wait(30)
        return answering(2, "gpu"), "cosine 1"

    backend = standby_of(prepare)
    assert value_of(backend) == 1
    assert backend.name == "cpu (gpu preparing)"
    go.set()
    status = backend.wait(30)
    assert (status.standing, status.serving, status.finding) == (Standing.LIVE, "gpu", "cosine 1")
    assert backend.name == "gpu"
    assert value_of(backend) == 2
    backend.close()


def test_no_batch_is_lost_while_backends_are_swapped():
    go = threading.Event()

    def prepare(_standby):
        go.wait(30)
        return answering(2, "gpu", seconds=0.001), ""

    backend = standby_of(prepare, Fallback.FAIL, answering(1, "cpu", seconds=0.001))
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(value_of, backend) for _ in range(400)]
        go.set()
        values = [future.result() for future in futures]
    backend.wait(30)
    values += [value_of(backend)]
    assert set(values) <= {1.0, 2.0}
    assert values[-1] == 2
    backend.close()


def test_a_batch_that_began_on_the_standby_ends_there_even_when_it_is_no_longer_needed():
    started, go = threading.Event(), threading.Event()

    def slow(batch):
        started.set()
        go.wait(30)
        return (np.ones((len(batch), 1), np.float32),)

    standby = FakeBackend(slow, name="cpu")
    ready = threading.Event()

    def prepare(_standby):
        ready.wait(30)
        return answering(2, "gpu"), ""

    backend = standby_of(prepare, Fallback.FAIL, standby)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(value_of, backend)
        started.wait(30)
        ready.set()
        while backend.status.standing is not Standing.LIVE:
            time.sleep(0.001)
        assert value_of(backend) == 2
        go.set()
        assert running.result() == 1
    backend.wait(30)
    with pytest.raises(InferenceError):
        standby.run(BATCH)
    backend.close()


@pytest.mark.parametrize("error", [ModelError("ENGINE_UNLIKE", "cosine 0.5, at least 0.999"), ValueError("a bug")])
def test_a_backend_that_is_refused_leaves_the_standby_serving_with_the_reason(error):
    def prepare(_standby):
        raise error

    backend = standby_of(prepare)
    status = backend.wait(30)
    assert status.standing is Standing.REFUSED
    assert str(error) in status.finding
    assert backend.name == "cpu (gpu refused)"
    assert value_of(backend) == 1
    backend.close()


def test_when_the_device_is_lost_the_standby_takes_the_very_batch():
    gpu = Losing()
    told = []
    backend = standby_of(lambda _standby: (gpu, ""), told=told.append)
    backend.wait(30)
    assert value_of(backend) == 2
    gpu.lost.set()
    assert value_of(backend) == 1
    assert backend.name == "cpu (gpu lost)"
    assert "fell off the bus" in backend.status.finding
    gpu.lost.clear()
    assert value_of(backend) == 1, "a device that was lost isn't trusted again"
    assert [status.standing for status in told] == [Standing.PREPARING, Standing.LIVE, Standing.LOST]
    backend.close()
    assert gpu.closed


def test_with_the_policy_to_fail_a_lost_device_is_an_error_of_every_call():
    gpu = Losing()
    backend = standby_of(lambda _standby: (gpu, ""), Fallback.FAIL)
    backend.wait(30)
    gpu.lost.set()
    for _ in range(3):
        with pytest.raises(InferenceError, match="fell off the bus") as caught:
            backend.run(BATCH)
        assert caught.value.reason == "DEVICE_LOST"
    assert backend.name == "nothing (gpu lost)"
    backend.close()


def test_other_errors_of_the_wanted_backend_are_its_callers():
    backend = standby_of(lambda _standby: (answering(2, "gpu", failure=RuntimeError("no")), ""))
    backend.wait(30)
    with pytest.raises(InferenceError, match="no") as caught:
        backend.run(BATCH)
    assert caught.value.reason == "BACKEND_FAILED"
    assert backend.status.standing is Standing.LIVE
    backend.close()


def test_a_backend_that_gets_ready_while_everything_is_closed_is_closed_too():
    gpu = Losing()

    def prepare(unwanted):
        unwanted.wait(30)
        return gpu, ""

    backend = standby_of(prepare)
    backend.close()
    assert gpu.closed
    with pytest.raises(InferenceError) as caught:
        backend.run(BATCH)
    assert caught.value.reason == "BACKEND_CLOSED"


def test_closing_calls_off_what_is_prepared_and_waits_for_its_end_without_a_refusal(caplog, monkeypatch):
    monkeypatch.setattr("server.inference.standby._QUICK_S", 0.01)
    told, ended = [], threading.Event()

    def prepare(unwanted):
        unwanted.wait(30)
        while "still being prepared" not in caplog.text:  # a native library takes its time to the next step
            time.sleep(0.01)
        ended.set()
        raise ModelError("ENGINE_NOT_BUILT", "called off")

    backend = standby_of(prepare, told=lambda status: told.append(status.standing))
    with caplog.at_level("INFO"):
        backend.close()
    assert ended.is_set()
    assert not backend._thread.is_alive()
    assert told == [Standing.PREPARING]
    assert "still being prepared" in caplog.text
    assert "gpu was called off" in caplog.text


def test_the_name_of_a_combined_backend_follows_the_swap():
    go = threading.Event()

    def prepare(_standby):
        go.wait(30)
        return answering(2, "gpu"), ""

    inner = standby_of(prepare)
    combined = CombiningBackend(inner, max_batch=8)
    assert combined.name == "cpu (gpu preparing)"
    go.set()
    inner.wait(30)
    assert combined.name == "gpu"
    combined.close()
