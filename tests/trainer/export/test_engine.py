from __future__ import annotations

import numpy as np
import pytest

from server.errors import ModelError
from server.inference.engines.manager import EngineManager
from server.inference.engines.profiles import workload_for
from server.inference.engines.store import EngineStore
from server.inference.gpu.fake import FakeBuilder, Faults, fake_device
from server.inference.gpu.worker import GpuWorker
from server.inference.manifest import load_manifest
from server.inference.precision import Precision
from server.models.tiny import write_tiny_embedder
from server.settings import load_settings
from trainer.export.engine import EngineOrder, engine_cosine, export_engine

CROPS = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    return write_tiny_embedder(tmp_path / "models")


@pytest.fixture
def store(tmp_path):
    return EngineStore(tmp_path / "engines")


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.FLOAT16, Precision.INT8])
def test_the_engine_of_a_folder_lies_in_the_servers_cache(folder, store, precision):
    builder = FakeBuilder()
    engine, cosine = export_engine(folder, EngineOrder(precision, "sm86"), builder, store, crops=CROPS)
    assert engine.built
    assert engine.name == f"fake-sm86-{precision.value}"
    assert store.find(engine.key).plan == engine.plan
    if precision is Precision.FLOAT32:
        assert cosine is None, "its network is the model's own"
    else:
        assert 0.98 <= cosine <= 1.000001
    again, compared = export_engine(folder, EngineOrder(precision, "sm86"), builder, store, crops=CROPS)
    assert not again.built
    assert compared is None


def test_a_server_with_default_settings_finds_the_engine(folder, store):
    export_engine(folder, EngineOrder(Precision.FLOAT32, "sm86"), FakeBuilder(), store, crops=CROPS)
    settings = load_settings([])
    workload = workload_for(detect_side=settings.detect_side, max_batch=settings.max_batch)
    server = EngineManager(FakeBuilder(), store, workload)
    assert server.find(server.key(load_manifest(folder), Precision.FLOAT32, "sm86")) is not None


@pytest.fixture
def faults():
    return Faults()


@pytest.fixture
def worker(faults):
    opened = GpuWorker(fake_device(faults))
    yield opened
    opened.close()


def test_where_its_gpu_is_at_hand_an_engine_is_held_to_its_model_there(folder, store, worker):
    engine, _ = export_engine(folder, EngineOrder(Precision.FLOAT32, "sm00"), FakeBuilder(), store, crops=CROPS)
    assert engine_cosine(folder, engine, worker, crops=CROPS) == pytest.approx(1, abs=1e-6)


def test_an_engine_that_answers_otherwise_on_the_gpu_is_refused_with_the_number(folder, store, worker, faults):
    engine, _ = export_engine(folder, EngineOrder(Precision.FLOAT32, "sm00"), FakeBuilder(), store, crops=CROPS)
    faults.spoilt = lambda outputs: tuple(np.roll(output, 1, axis=1) for output in outputs)
    with pytest.raises(ModelError, match=r"on fake GPU: the smallest cosine is .*, at least 0\.9999") as caught:
        engine_cosine(folder, engine, worker, crops=CROPS)
    assert caught.value.reason == "ENGINE_UNLIKE"


def test_a_network_that_loses_too_much_becomes_no_engine(folder, store):
    """A crop almost without contrast lies between two or three of int8's levels."""
    crops = CROPS.copy()
    crops[0] = np.random.default_rng(1).integers(126, 130, (8, 8, 3))
    with pytest.raises(ModelError, match=r"smallest cosine is .*, at least 0\.98 is wanted") as caught:
        export_engine(folder, EngineOrder(Precision.INT8, "sm86"), FakeBuilder(), store, crops=crops)
    assert caught.value.reason == "ENGINE_UNLIKE"
    assert store.files() == ()
