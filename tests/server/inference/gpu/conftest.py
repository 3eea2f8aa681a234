from __future__ import annotations

from collections.abc import Callable

import pytest

from server.inference.engines.manager import Engine, EngineManager
from server.inference.engines.profiles import Workload
from server.inference.engines.progress import Progress
from server.inference.engines.store import EngineStore
from server.inference.gpu.backend import GpuBackend
from server.inference.gpu.fake import FakeBuilder, Faults, Record, fake_device
from server.inference.gpu.worker import GpuWorker
from server.inference.manifest import load_manifest, verified_weights
from server.inference.precision import Precision
from server.models import tiny

WORKLOAD = Workload(crops=4, max_crops=16, frames=2, max_frames=4, frame_side=64, window_side=32)


@pytest.fixture
def folders(tmp_path):
    return {
        "embedder": tiny.write_tiny_embedder(tmp_path / "models"),
        "detector": tiny.write_tiny_detector(tmp_path / "models"),
    }


@pytest.fixture
def model(folders) -> Callable:
    """Manifest and weights of the tiny embedder or detector."""

    def read(kind: str):
        manifest = load_manifest(folders[kind])
        return manifest, verified_weights(folders[kind], manifest)

    return read


@pytest.fixture
def manager(tmp_path):
    return EngineManager(FakeBuilder(), EngineStore(tmp_path / "engines"), WORKLOAD)


@pytest.fixture
def engine(model, manager) -> Callable[[str], Engine]:
    def obtain(kind: str) -> Engine:
        manifest, weights = model(kind)
        key = manager.key(manifest, Precision.FLOAT32, "sm00")
        return manager.obtain(manifest, weights, key, progress=Progress())

    return obtain


@pytest.fixture
def faults():
    return Faults()


@pytest.fixture
def record():
    return Record()


@pytest.fixture
def worker(faults, record):
    opened = GpuWorker(fake_device(faults, record))
    yield opened
    opened.close()


@pytest.fixture
def backend(model, engine, worker):
    opened = GpuBackend(model("embedder")[0], engine("embedder"), worker)
    yield opened
    opened.close()


@pytest.fixture
def detector(model, engine, worker):
    opened = GpuBackend(model("detector")[0], engine("detector"), worker)
    yield opened
    opened.close()
