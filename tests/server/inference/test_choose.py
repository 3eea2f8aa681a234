"""The fastest candidate that passes is chosen, by processor time with all lanes busy."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from server.errors import ConflictError, ModelError
from server.inference.backend import FakeBackend
from server.inference.choose import Clock, Job, choose
from server.inference.load import Runtime
from server.inference.parity import EmbedderGate

CROPS = np.random.default_rng(0).normal(0, 1, (4, 3, 8, 8)).astype(np.float32)


def flat(batch):
    return (batch.reshape(len(batch), -1),)


class FakeTime:
    """Processor time that passes when fake networks compute."""

    def __init__(self) -> None:
        self.now_ns = 0
        self._lock = threading.Lock()

    def spend(self, ms):
        with self._lock:
            self.now_ns += round(ms * 1e6)

    def clock(self):
        return Clock(cpu=lambda: self.now_ns, wall=lambda: self.now_ns)


@pytest.fixture
def time():
    return FakeTime()


@pytest.fixture
def costing(time):
    """Opens a network that takes so long for a batch and so much more for each picture in it."""
    opened = []

    def make(batch_ms=0.0, picture_ms=0.0, function=flat):
        def run(batch):
            time.spend(batch_ms + picture_ms * len(batch))
            return function(batch)

        def open_it():
            opened.append(FakeBackend(run))
            return opened[-1]

        return open_it

    make.opened = opened
    return make


def job(*counts, lanes=2):
    return Job(EmbedderGate((CROPS,)), tuple(CROPS[:count] for count in counts or (1, 4)), lanes)


def refused(error):
    def open_it():
        raise error

    return open_it


def test_the_fastest_that_passes_is_chosen(time, costing):
    decision = choose(
        {
            Runtime.ONNXRUNTIME: costing(picture_ms=3),
            Runtime.OPENVINO: costing(picture_ms=2),
            Runtime.OPENVINO_BF16: costing(picture_ms=1),
        },
        job(),
        time.clock(),
    )
    assert decision.runtime is Runtime.OPENVINO_BF16
    assert [trial.cost_ms for trial in decision.trials] == pytest.approx([3, 2, 1])
    assert not decision.remembered


def test_the_cost_is_that_of_a_picture_whatever_the_batch_and_the_lanes(time, costing):
    decision = choose({Runtime.ONNXRUNTIME: costing(batch_ms=4, picture_ms=1)}, job(1, 2, 4, lanes=3), time.clock())
    assert decision.trials[0].costs_ms == pytest.approx((5, 3, 2))


def test_one_that_is_fast_and_wrong_is_neither_chosen_nor_measured(time, costing):
    wrong = costing(function=lambda batch: (-flat(batch)[0],))
    decision = choose({Runtime.ONNXRUNTIME: costing(picture_ms=3), Runtime.OPENVINO: wrong}, job(), time.clock())
    assert decision.runtime is Runtime.ONNXRUNTIME
    assert decision.trials[1].costs_ms == ()
    assert "cosine -1" in decision.why


@pytest.mark.parametrize(
    "error",
    [ConflictError("PRECISION_UNSUPPORTED", "no bf16 here"), ModelError("MODEL_UNREADABLE", "no bf16 here")],
    ids=lambda error: error.reason,
)
def test_one_that_this_machine_cannot_open_is_said_to_be(time, costing, error):
    decision = choose({Runtime.ONNXRUNTIME: costing(), Runtime.OPENVINO_BF16: refused(error)}, job(), time.clock())
    assert decision.runtime is Runtime.ONNXRUNTIME
    assert "not openvino-bf16: no bf16 here" in decision.why


def test_without_the_reference_nothing_is_chosen(time, costing):
    with pytest.raises(ModelError):
        choose(
            {Runtime.ONNXRUNTIME: refused(ModelError("MODEL_UNREADABLE", "junk")), Runtime.OPENVINO: costing()},
            job(),
            time.clock(),
        )


def test_all_lanes_are_busy_while_one_is_measured(time, costing):
    together = threading.Barrier(3, timeout=10)

    def meet(batch):
        if len(batch) == 4:  # the gate asks alone, with another length
            together.wait()
        return flat(batch)

    work = Job(EmbedderGate((CROPS[:2],)), (CROPS,), 3)
    met = costing(picture_ms=1, function=lambda batch: meet(batch) if len(costing.opened[0].calls) > 2 else flat(batch))
    assert choose({Runtime.ONNXRUNTIME: met}, work, time.clock()).trials[0].costs_ms


def test_the_candidates_take_turns_with_another_one_first_each_time(time, costing):
    order = []

    def noting(name):
        def run(batch):
            order.append(name)
            return flat(batch)

        return run

    openers = {
        Runtime.ONNXRUNTIME: costing(picture_ms=1, function=noting("a")),
        Runtime.OPENVINO: costing(picture_ms=1, function=noting("b")),
    }
    choose(openers, job(4, lanes=1), time.clock())
    assert "".join(order[2:8]) == "abbaab"  # after the gate's run of each


def test_a_disturbance_does_not_decide(time, costing):
    runs = []

    def disturbed(batch):
        runs.append(batch)
        time.spend(1000 if len(runs) == 5 else 0)
        return flat(batch)

    decision = choose(
        {Runtime.ONNXRUNTIME: costing(picture_ms=2), Runtime.OPENVINO: costing(picture_ms=1, function=disturbed)},
        job(),
        Clock(cpu=lambda: time.now_ns, wall=lambda: 0),
    )
    assert decision.runtime is Runtime.OPENVINO


def test_a_slow_network_is_measured_once_and_no_more(time, costing):
    choose({Runtime.ONNXRUNTIME: costing(picture_ms=60_000)}, job(4, lanes=1), time.clock())
    assert len(costing.opened[0].calls) == 2  # for the gate, and for the one round


def test_every_candidate_is_closed(time, costing):
    wrong = costing(function=lambda batch: (-flat(batch)[0],))
    openers = {Runtime.ONNXRUNTIME: costing(), Runtime.OPENVINO: costing(), Runtime.OPENVINO_BF16: wrong}
    choose(openers, job(), time.clock())
    for backend in costing.opened:
        with pytest.raises(Exception, match="closed"):
            backend.run(CROPS)
