from __future__ import annotations

import gc
import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from server.domain import ColourOrder, PixelSpec
from server.errors import ConflictError, InferenceError
from server.inference.cuts import Canvas, Cut, Cuts
from server.inference.engines.one_build import no_build
from server.inference.gpu.backend import GpuBackend
from server.inference.gpu.device import DeviceError, Trouble
from server.inference.gpu.fake import Faults, Record, fake_device
from server.inference.gpu.slot import RECORDINGS
from server.inference.gpu.worker import GpuWorker
from server.models import tiny
from server.vision.preprocess import to_tensor


def crops(count, seed=0):
    return np.random.default_rng(seed).uniform(-127.5, 127.5, (count, 3, tiny.SIDE, tiny.SIDE)).astype(np.float32)


def assert_right(outputs, batch):
    np.testing.assert_allclose(outputs[0], tiny.embedder_outputs(batch)[0], rtol=0, atol=1e-3)


def out_of_memory_above(rows):
    def check(batch):
        if len(batch) > rows:
            raise DeviceError(Trouble.OUT_OF_MEMORY, f"{len(batch)} rows are too many")

    return check


def reason_of(call, *arguments):
    with pytest.raises(InferenceError) as caught:
        call(*arguments)
    return caught.value.reason


def test_batches_come_in_a_few_shapes_whatever_their_length(backend, record):
    for count in range(1, 17):
        assert_right(backend.run(crops(count)), crops(count))
    assert {shape[0] for shape in record.shapes} == {1, 2, 4, 8, 16}


def test_a_batch_longer_than_the_engine_takes_goes_in_parts_and_comes_back_in_order(backend, record):
    batch = crops(55)
    assert_right(backend.run(batch), batch)
    assert sorted(shape[0] for shape in record.shapes) == [8, 16, 16, 16]


def test_one_batch_is_on_its_way_while_another_is_computed(backend, record, faults):
    faults.enqueued = lambda _batch: time.sleep(0.05)
    batch = crops(64)
    assert_right(backend.run(batch), batch)
    assert record.most_at_once == 2


def test_buffers_are_not_used_again_before_their_batch_is_home(backend, faults):
    generator = np.random.default_rng(0)
    faults.enqueued = lambda _batch: time.sleep(float(generator.uniform(0, 0.003)))
    batches = [crops(int(generator.integers(1, 40)), seed) for seed in range(60)]
    with ThreadPoolExecutor(6) as pool:
        for batch, outputs in zip(batches, pool.map(backend.run, batches), strict=True):
            assert_right(outputs, batch)


def test_a_shape_is_recorded_at_its_second_run_and_launched_from_then_on(backend, record):
    launches = []
    for _ in range(6):
        backend.run(crops(4))
        launches.append(record.launches)
    # Two places for batches, each of which runs a shape plainly once.
    assert launches == [0, 0, 1, 2, 3, 4]


def test_recorded_runs_give_the_same_answers_when_buffers_have_moved(backend):
    for count in (2, 2, 2, 2, 16, 16, 2, 2, 2, 16):
        assert_right(backend.run(crops(count, count)), crops(count, count))


def test_without_graphs_everything_works_the_same(model, engine, record):
    worker = GpuWorker(fake_device(record=record, graphs=False))
    backend = GpuBackend(model("embedder")[0], engine("embedder"), worker)
    for _ in range(5):
        assert_right(backend.run(crops(3)), crops(3))
    assert record.launches == 0
    worker.close()


def test_two_networks_share_the_device(backend, detector):
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 3, 36, 64)).astype(np.float32)
    with ThreadPoolExecutor(4) as pool:
        embedded = [pool.submit(backend.run, crops(5, seed)) for seed in range(20)]
        detected = [pool.submit(detector.run, pictures) for _ in range(20)]
        for seed, future in enumerate(embedded):
            assert_right(future.result(), crops(5, seed))
        for future in detected:
            for output, want in zip(future.result(), tiny.detector_outputs(pictures), strict=True):
                np.testing.assert_allclose(output, want, rtol=0, atol=1e-3)


@pytest.mark.parametrize("most", [1, 2, 3, 5, 8])
def test_out_of_memory_halves_the_batch_and_the_answer_stays_whole(backend, faults, record, most, caplog):
    faults.enqueued = out_of_memory_above(most)
    batch = crops(30)
    with caplog.at_level(logging.WARNING):
        assert_right(backend.run(batch), batch)
    assert "batches are halved" in caplog.text
    assert_right(backend.run(batch), batch)
    done = record.shapes.copy()
    record.shapes.clear()
    faults.enqueued = lambda _batch: None
    backend.run(batch)
    assert max(shape[0] for shape in record.shapes) <= most, "what did not fit once is not tried again"
    assert done


def test_memory_that_runs_out_when_buffers_are_made_halves_the_batch_too(model, engine):
    # An input of 16 crops takes 12,288 bytes on either side, and there are two places.
    record = Record()
    worker = GpuWorker(fake_device(Faults(memory=24_000), record))
    backend = GpuBackend(model("embedder")[0], engine("embedder"), worker)
    batch = crops(48)
    assert_right(backend.run(batch), batch)
    assert record.held <= 24_000
    worker.close()


def photographs(count):
    """A batch of pictures, not made yet."""
    side, pixels = tiny.SIDE, PixelSpec(ColourOrder.BGR, (127.5, 127.5, 127.5), (1.0, 1.0, 1.0))
    drawn = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)
    rows = tuple(Cut(image, Canvas(side, side, side, side, (side, side)), lambda image=image: image) for image in drawn)
    return Cuts(rows, (side, side), pixels, partial(to_tensor, pixels=pixels))


def test_pictures_are_uploaded_as_bytes_and_let_go_when_they_are_answered(backend, worker, record):
    batch = photographs(40)
    assert_right(backend.run(batch), batch.tensor())
    frames = worker._frames
    assert (frames.uploads, frames.uploaded_bytes) == (40, 40 * tiny.SIDE**2 * 3)
    assert all(worker.holds(row.picture) for row in batch.rows)
    held = record.held
    for _ in range(20):
        batch = photographs(40)
        backend.run(batch)
    assert record.held <= 2 * held, "those that were answered made room for the others"


def test_memory_that_runs_out_for_pictures_halves_the_batch_and_loses_none(backend, worker, record, faults):
    batch = photographs(16)
    backend.run(batch[:1])
    faults.memory = record.held + 12 * 2**16  # a picture takes two pieces of 64 KiB, page-locked and on the device
    assert_right(backend.run(batch), batch.tensor())
    assert record.held <= faults.memory
    assert backend._network.limit < 16


def test_a_device_that_cannot_compile_the_kernels_runs_batches_that_the_cpu_makes(model, engine, caplog):
    with caplog.at_level(logging.ERROR):
        worker = GpuWorker(fake_device(compiler=None))
    assert "pictures are prepared on the CPU" in caplog.text
    assert not worker.makes_batches
    backend = GpuBackend(model("embedder")[0], engine("embedder"), worker)
    batch = photographs(5)
    assert_right(backend.run(batch), batch.tensor())
    worker.close()


def test_out_of_memory_for_a_single_picture_is_an_error_and_the_next_call_may_work(backend, faults):
    faults.enqueued = out_of_memory_above(0)
    assert reason_of(backend.run, crops(3)) == "DEVICE_OUT_OF_MEMORY"
    faults.enqueued = lambda _batch: None
    assert_right(backend.run(crops(3)), crops(3))


def test_out_of_memory_reaches_only_the_call_whose_batch_is_too_long(backend, faults):
    faults.enqueued = lambda batch: out_of_memory_above(8)(batch) if np.any(batch > 1000) else None
    loud = crops(16)
    loud[0] = 2000
    batches = [crops(16, seed) for seed in range(10)] + [loud]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(backend.run, batches))
    for batch, outputs in zip(batches, answers, strict=True):
        np.testing.assert_allclose(outputs[0], tiny.embedder_outputs(batch)[0], rtol=1e-4, atol=1e-2)


def test_a_lost_device_fails_what_waits_and_all_that_comes_later(backend, faults, worker):
    def lose(_batch):
        raise DeviceError(Trouble.LOST, "illegal memory access")

    backend.run(crops(1))
    faults.enqueued = lose
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(backend.run, crops(20, seed)) for seed in range(16)]
        reasons = {future.exception().reason for future in futures}
    assert reasons == {"DEVICE_LOST"}
    assert worker.lost
    faults.enqueued = lambda _batch: None
    with pytest.raises(InferenceError, match=r"illegal memory access.*nvidia-smi"):
        backend.run(crops(1))


def lost_for(wide):
    """Fails batches of frames, which are wider than crops, or the crops."""

    def lose(batch):
        if (batch.shape[3] > tiny.SIDE) == wide:
            raise DeviceError(Trouble.LOST, "fell off the bus")

    return lose


def queued(worker, *calls):
    """What becomes of calls that the worker takes up only once all of them wait, in this order: their futures."""
    free, held = threading.Event(), threading.Event()

    def hold(_device):
        held.set()
        free.wait()

    def start(work, *arguments):
        future = Future()

        def call():
            try:
                future.set_result(work(*arguments))
            except InferenceError as error:
                future.set_exception(error)

        threading.Thread(target=call, daemon=True).start()  # a test that fails must not wait for it
        return future

    start(worker.do, hold)
    held.wait()
    futures = []
    for count, call in enumerate(calls):
        futures.append(start(*call))
        while worker._jobs.qsize() <= count:
            time.sleep(0.001)
    free.set()
    return futures


def reasons_of(futures):
    return [future.exception(timeout=20).reason for future in futures]


FRAMES = np.zeros((2, 3, 36, 64), np.float32)


def test_a_call_that_waits_for_a_place_is_told_when_the_device_is_lost_meanwhile(backend, detector, faults, worker):
    faults.enqueued = lost_for(wide=True)
    # The two of the embedder take both its places, so that the third lands the frames, and learns of the loss.
    calls = [(detector.run, FRAMES), *[(backend.run, crops(3, seed)) for seed in range(3)], (detector.run, FRAMES)]
    assert reasons_of(queued(worker, *calls)) == ["DEVICE_LOST"] * 5
    assert reason_of(backend.run, crops(1)) == "DEVICE_LOST"


def test_a_batch_is_not_tried_again_in_halves_when_the_device_is_lost_meanwhile(backend, detector, faults, worker):
    def fail(batch):
        lost_for(wide=True)(batch)
        out_of_memory_above(4)(batch)

    faults.enqueued = fail
    assert reasons_of(queued(worker, (backend.run, crops(8)), (detector.run, FRAMES))) == ["DEVICE_LOST"] * 2


def test_a_device_that_is_lost_while_memory_is_given_back_is_lost(backend, faults, worker):
    def lose(_nbytes):
        raise DeviceError(Trouble.LOST, "fell off the bus")

    faults.enqueued, faults.freeing = out_of_memory_above(4), lose
    assert reasons_of(queued(worker, (backend.run, crops(8)))) == ["DEVICE_LOST"]
    assert worker.lost


def test_a_device_that_is_lost_while_it_is_handed_a_batch_is_lost(backend, faults, worker):
    def lose(_stream, _work):
        raise DeviceError(Trouble.LOST, "ECC")

    backend.run(crops(1))
    backend.run(crops(1))
    worker._device.capture = lose
    assert reason_of(backend.run, crops(1)) == "DEVICE_LOST"


def test_a_device_that_fails_at_the_simplest_thing_too_is_lost_whatever_its_error_says(backend, faults, worker):
    def fail(_batch):
        raise DeviceError(Trouble.FAILED, "an error that nobody has heard of")

    def refuse():
        raise DeviceError(Trouble.FAILED, "an error that nobody has heard of")

    faults.enqueued = fail
    assert reason_of(backend.run, crops(2)) == "BACKEND_FAILED"
    assert not worker.lost
    worker._device.free_bytes = refuse
    assert reason_of(backend.run, crops(2)) == "DEVICE_LOST"
    assert worker.lost


def test_while_an_engine_is_built_nothing_is_recorded_but_afterwards(backend, record):
    with no_build() as undisturbed:
        assert undisturbed
        for _ in range(6):
            assert_right(backend.run(crops(4)), crops(4))
        assert record.launches == 0
    for _ in range(4):
        assert_right(backend.run(crops(4)), crops(4))
    assert record.launches == 4


def test_a_run_that_cannot_be_recorded_is_tried_a_few_times_and_answered_all_the_same(backend, worker, caplog):
    def refuse(_stream, _work):
        raise DeviceError(Trouble.FAILED, "the stream's work cannot be recorded")

    worker._device.capture = refuse
    for _ in range(12):
        assert_right(backend.run(crops(4)), crops(4))
    assert caplog.text.count("can't be recorded") == 2 * RECORDINGS, "in each of two places"


def test_a_batch_that_fails_is_an_error_of_its_caller_alone(backend, faults):
    def fail(batch):
        if np.any(batch > 1000):
            raise DeviceError(Trouble.FAILED, "no kernel for this")

    faults.enqueued = fail
    bad = crops(2)
    bad[0] = 2000
    with pytest.raises(InferenceError, match="no kernel for this") as caught:
        backend.run(bad)
    assert caught.value.reason == "BACKEND_FAILED"
    assert_right(backend.run(crops(2)), crops(2))


def test_a_failure_in_the_middle_of_a_long_batch_is_one_error(backend, faults):
    def fail(batch):
        if np.any(batch > 1000):
            raise DeviceError(Trouble.FAILED, "no")

    faults.enqueued = fail
    bad = crops(64)
    bad[20] = 2000
    assert reason_of(backend.run, bad) == "BACKEND_FAILED"
    assert_right(backend.run(crops(64)), crops(64))


def test_values_that_are_not_finite_are_noticed(backend, faults):
    faults.spoilt = lambda outputs: tuple(np.full_like(output, np.nan) for output in outputs)
    assert reason_of(backend.run, crops(2)) == "OUTPUT_INVALID"
    faults.spoilt = lambda outputs: outputs
    assert_right(backend.run(crops(2)), crops(2))


def test_an_engine_that_the_device_refuses_is_an_error_and_the_others_live_on(backend, model, engine, worker, faults):
    def refuse(_plan):
        raise DeviceError(Trouble.FAILED, "built for another GPU")

    faults.loading = refuse
    with pytest.raises(InferenceError, match="built for another GPU") as caught:
        GpuBackend(model("detector")[0], engine("detector"), worker)
    assert caught.value.reason == "ENGINE_NOT_LOADED"
    assert_right(backend.run(crops(2)), crops(2))


def test_a_lost_device_is_left_as_well(model, engine, faults, record):
    def lose(_batch):
        raise DeviceError(Trouble.LOST, "illegal memory access")

    worker = GpuWorker(fake_device(faults, record))
    backend = GpuBackend(model("embedder")[0], engine("embedder"), worker)
    faults.enqueued = lose
    assert reason_of(backend.run, crops(1)) == "DEVICE_LOST"
    assert not record.closed
    worker.close()
    assert record.closed


def test_a_device_that_is_opened_and_then_cannot_be_used_is_left(record):
    def broken(_source):
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        GpuWorker(fake_device(record=record, compiler=broken))
    assert record.closed


def test_a_device_that_cannot_be_opened_is_the_error_of_whoever_wanted_it():
    def none():
        raise ConflictError("GPU_MISSING", "there is none")

    with pytest.raises(ConflictError, match="there is none"):
        GpuWorker(none)


def test_everything_is_given_back_when_a_network_is_closed(model, engine, worker, record):
    backend = GpuBackend(model("embedder")[0], engine("embedder"), worker)
    backend.run(crops(40))
    assert record.held > 0
    backend.close()
    assert record.held == 0
    assert reason_of(backend.run, crops(1)) == "BACKEND_CLOSED"


def test_memory_does_not_grow_with_the_shapes_that_come(detector, record):
    generator = np.random.default_rng(0)
    sizes = [(4 * int(generator.integers(1, 17)), 4 * int(generator.integers(1, 17))) for _ in range(80)]
    for height, width in sizes[:40]:
        detector.run(np.zeros((4, 3, height, width), np.float32))
    detector.run(np.zeros((4, 3, 64, 64), np.float32))
    held = record.held
    for height, width in sizes:
        detector.run(np.zeros((int(generator.integers(1, 5)), 3, height, width), np.float32))
    assert record.held == held


def test_a_closed_worker_finishes_what_it_has_and_takes_no_more(model, engine, faults):
    faults.enqueued = lambda _batch: time.sleep(0.02)
    worker = GpuWorker(fake_device(faults))
    backend = GpuBackend(model("embedder")[0], engine("embedder"), worker)
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(backend.run, crops(16, seed)) for seed in range(4)]
        time.sleep(0.05)
        worker.close()
        for seed, future in enumerate(futures):
            error = future.exception()
            assert error is None or error.reason == "BACKEND_CLOSED"
            if error is None:
                assert_right(future.result(), crops(16, seed))
    worker.close()
    assert reason_of(backend.run, crops(1)) == "BACKEND_CLOSED"
    backend.close()


def test_the_fake_insists_on_its_thread_as_a_context_does(worker):
    with pytest.raises(DeviceError, match="thread that doesn't own it"):
        worker._device.memory(4)


def test_a_picture_larger_than_the_engine_takes_is_refused_with_what_it_takes(detector):
    with pytest.raises(InferenceError, match="up to 64x64, not 68x32") as caught:
        detector.run(np.zeros((1, 3, 32, 68), np.float32))
    assert caught.value.reason == "INPUT_INVALID"


def test_free_memory_is_told(worker, faults, record):
    assert worker.free_bytes() == faults.memory - record.held


def test_no_thread_is_left(model, engine):
    before = set(threading.enumerate())
    worker = GpuWorker(fake_device())
    GpuBackend(model("embedder")[0], engine("embedder"), worker).run(crops(3))
    worker.close()
    gc.collect()
    assert set(threading.enumerate()) <= before
