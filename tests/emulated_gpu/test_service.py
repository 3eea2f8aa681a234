"""The service on an emulated GPU: it moves there, answers as on the CPU, and survives what goes wrong."""

from __future__ import annotations

import numpy as np
import pytest

from server.errors import InferenceError
from server.inference.engines.library import find_library
from server.inference.engines.profiles import Workload
from server.inference.engines.progress import Progress
from server.inference.gpu.backend import GpuBackend
from server.inference.gpu.open import open_gpu
from server.inference.gpu.runtime import Gpu
from server.inference.gpu.worker import GpuWorker
from server.inference.manifest import load_manifest, verified_weights
from server.inference.onnx import OnnxBackend
from server.inference.precision import Precision
from server.models import tiny

WORKLOAD = Workload(crops=4, max_crops=16, frames=2, max_frames=4, frame_side=64, window_side=32)
ILLEGAL_ADDRESS = 700


def test_the_worker_opens_what_a_server_would(driver):
    worker = GpuWorker(lambda: open_gpu(find_library()))
    assert (worker.device_name, worker.architecture) == ("emulated GPU", "sm86")
    assert worker.makes_batches
    worker.close()
    assert driver.emulated_held() == 0


class Rig:
    """The tiny embedder on the GPU, and in ONNX Runtime."""

    def __init__(self, folder):
        models = tiny.write_tiny_embedder(folder / "models")
        self.manifest = load_manifest(models)
        weights = verified_weights(models, self.manifest)
        self.gpu = Gpu.open(folder / "engines", WORKLOAD)
        key = self.gpu.manager.key(self.manifest, Precision.FLOAT32, self.gpu.worker.architecture)
        engine = self.gpu.manager.obtain(self.manifest, weights, key, progress=Progress())
        self.backend = GpuBackend(self.manifest, engine, self.gpu.worker)
        self.oracle = OnnxBackend(self.manifest, weights, threads=1)

    def crops(self, count, seed=0):
        size = (3, self.manifest.input.height, self.manifest.input.width)
        return np.random.default_rng(seed).uniform(-127, 127, (count, *size)).astype(np.float32)

    def assert_right(self, count, seed=0):
        batch = self.crops(count, seed)
        (ours,), (want,) = self.backend.run(batch), self.oracle.run(batch)
        np.testing.assert_allclose(ours, want, atol=1e-5 * np.abs(want).max())


@pytest.fixture
def rig(tmp_path, driver):
    made = Rig(tmp_path)
    yield made
    driver.emulated_break(0)
    made.backend.close()
    made.gpu.close()


def test_batches_of_every_length_are_answered_and_everything_is_given_back(rig, driver):
    for seed, count in enumerate([1, 2, 3, 16, 17, 40, 5, 5, 5, 1]):
        rig.assert_right(count, seed)
    rig.backend.close()
    rig.gpu.close()
    assert driver.emulated_held() == 0
    assert driver.emulated_held_bytes() == 0


def test_when_memory_runs_out_batches_are_halved_and_answered_whole(rig, driver, caplog):
    rig.assert_right(1)
    driver.emulated_capacity(driver.emulated_held_bytes() + 40_000)
    rig.assert_right(16)
    assert "batches are halved" in caplog.text
    rig.assert_right(16, 1)


def test_a_device_that_breaks_down_between_batches_is_lost(rig, driver):
    rig.assert_right(4)
    driver.emulated_break(ILLEGAL_ADDRESS)
    for _ in range(2):
        with pytest.raises(InferenceError) as caught:
            rig.backend.run(rig.crops(4))
        assert caught.value.reason == "DEVICE_LOST"
    assert rig.gpu.worker.lost
