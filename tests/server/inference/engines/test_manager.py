from __future__ import annotations

import dataclasses
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from server.errors import InvalidInputError, ModelError
from server.inference.engines.manager import EngineManager
from server.inference.engines.profiles import Workload
from server.inference.engines.progress import Progress
from server.inference.engines.store import EngineStore
from server.inference.gpu.fake import FakeBuilder
from server.inference.precision import Precision

QUIET = Progress()


def obtain(manager, model, precision=Precision.FLOAT32, **options):
    manifest, weights = model
    return manager.obtain(manifest, weights, manager.key(manifest, precision, "sm86"), progress=QUIET, **options)


def test_an_engine_is_built_once_and_then_found(manager, builder, embedder):
    first = obtain(manager, embedder)
    second = obtain(manager, embedder)
    assert (first.built, second.built, builder.builds) == (True, False, 1)
    assert first.plan == second.plan
    assert first.name == "fake-sm86-f32"


@pytest.mark.parametrize("change", ["precision", "version", "workload"])
def test_another_precision_library_or_workload_is_another_engine(engines_dir, embedder, change):
    store = EngineStore(engines_dir)
    obtain(EngineManager(FakeBuilder(), store, Workload()), embedder)
    builder = FakeBuilder(version="2" if change == "version" else "1")
    workload = Workload(crops=3) if change == "workload" else Workload()
    precision = Precision.FLOAT16 if change == "precision" else Precision.FLOAT32
    assert obtain(EngineManager(builder, store, workload), embedder, precision).built


def test_progress_names_the_model_and_the_step(manager, embedder):
    manifest, weights = embedder
    said = []
    manager.obtain(manifest, weights, manager.key(manifest, Precision.FLOAT32, "sm86"), progress=Progress(said.append))
    assert said == ["tiny-embedder/v1: f32 for sm86", "tiny-embedder/v1: faking"]


def test_a_damaged_engine_is_reported_and_built_anew(manager, builder, store, embedder, caplog):
    engine = obtain(manager, embedder)
    path = store.path(engine.key)
    path.write_bytes(path.read_bytes()[:-1])
    with caplog.at_level(logging.WARNING):
        again = obtain(manager, embedder)
    assert again.built
    assert again.plan == engine.plan
    assert "its seal" in caplog.text
    assert not obtain(manager, embedder).built


def test_a_build_that_fails_leaves_nothing_and_can_be_tried_again(store, embedder):
    failing = [True]

    def before():
        if failing:
            failing.pop()
            raise ModelError("ENGINE_NOT_BUILT", "no luck")

    manager = EngineManager(FakeBuilder(before=before), store, Workload())
    with pytest.raises(ModelError, match="no luck"):
        obtain(manager, embedder)
    assert store.files() == ()
    assert obtain(manager, embedder).built


def test_whoever_comes_while_it_is_built_waits_for_that_engine(engines_dir, embedder):
    go = threading.Event()
    builder = FakeBuilder(before=lambda: go.wait(30))
    managers = [EngineManager(builder, EngineStore(engines_dir), Workload()) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(obtain, manager, embedder) for manager in managers]
        go.set()
        engines = [future.result() for future in waiting]
    assert builder.builds == 1
    assert sorted(engine.built for engine in engines) == [False, False, False, True]
    assert len({engine.plan for engine in engines}) == 1


def test_the_file_says_what_it_is(manager, store, embedder):
    engine = obtain(manager, embedder)
    about = store.read(store.path(engine.key)).about
    assert about["model"] == "tiny-embedder/v1"
    assert about["plan_bytes"] == len(engine.plan)
    assert about["key"]["weights_sha256"] == embedder[0].sha256
    assert about["built_at"].endswith("+00:00")


def test_int8_asks_for_crops_and_then_for_enough_of_them(manager, embedder):
    with pytest.raises(InvalidInputError, match="--calibration FOLDER") as caught:
        obtain(manager, embedder, Precision.INT8)
    assert caught.value.reason == "CALIBRATION_MISSING"
    with pytest.raises(InvalidInputError) as caught:
        obtain(manager, embedder, Precision.INT8, calibration=np.zeros((3, 3, 8, 8), np.float32))
    assert caught.value.reason == "CALIBRATION_TOO_SMALL"


def test_an_int8_engine_is_found_without_crops_once_it_is_built(manager, embedder):
    crops = np.random.default_rng(0).normal(0, 50, (32, 3, 8, 8)).astype(np.float32)
    assert obtain(manager, embedder, Precision.INT8, calibration=crops).built
    assert not obtain(manager, embedder, Precision.INT8).built


def test_an_int8_engine_is_built_anew_when_the_crops_are_others(manager, embedder):
    generator = np.random.default_rng(0)
    one, other = (generator.normal(0, spread, (32, 3, 8, 8)).astype(np.float32) for spread in (50, 5))
    first = obtain(manager, embedder, Precision.INT8, calibration=one)
    assert not obtain(manager, embedder, Precision.INT8, calibration=one).built
    second = obtain(manager, embedder, Precision.INT8, calibration=other)
    assert second.built
    assert second.plan != first.plan
    assert obtain(manager, embedder, Precision.INT8).plan == second.plan


def test_there_are_no_engines_in_bfloat16(manager, embedder):
    with pytest.raises(InvalidInputError) as caught:
        obtain(manager, embedder, Precision.BFLOAT16)
    assert caught.value.reason == "PRECISION_UNSUPPORTED"


def test_a_key_of_another_target_differs(manager, embedder):
    key = manager.key(embedder[0], Precision.FLOAT32, "sm86")
    assert manager.key(embedder[0], Precision.FLOAT32, "sm89") == dataclasses.replace(key, target="sm89")
