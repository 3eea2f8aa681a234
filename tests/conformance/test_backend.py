"""The contract of `Backend`, held by every implementation."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from server.domain import ColourOrder, PixelSpec
from server.errors import ConflictError, InferenceError
from server.inference.backend import FakeBackend
from server.inference.combine import CombiningBackend
from server.inference.cuts import Canvas, Cut, Cuts
from server.inference.engines.manager import EngineManager
from server.inference.engines.profiles import Workload
from server.inference.engines.progress import Progress
from server.inference.engines.store import EngineStore
from server.inference.gpu.backend import GpuBackend
from server.inference.gpu.fake import FakeBuilder, fake_device
from server.inference.gpu.worker import GpuWorker
from server.inference.load import Runtime, load_backend
from server.inference.manifest import load_manifest, verified_weights
from server.inference.precision import Precision
from server.models import tiny
from server.vision.preprocess import to_tensor
from tests.gpu import MUST_RUN

ORACLE = {"embedder": tiny.embedder_outputs, "detector": tiny.detector_outputs}
SHAPE = {"embedder": (3, tiny.SIDE, tiny.SIDE), "detector": (3, 16, 24)}
TOLERANCE = {"openvino-bf16": 2e-2, "tensorrt-fp16": 2e-2}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    models_dir = tmp_path_factory.mktemp("models")
    return {
        "embedder": tiny.write_tiny_embedder(models_dir),
        "detector": tiny.write_tiny_detector(models_dir),
    }


class FakeGpu(GpuBackend):
    """A backend on a fake GPU of its own, which goes with it."""

    def __init__(self, manifest, engine, worker):
        super().__init__(manifest, engine, worker)
        self.worker = worker

    def close(self):
        super().close()
        self.worker.close()


def open_fake_gpu(folder: Path):
    manifest = load_manifest(folder)
    weights = verified_weights(folder, manifest)
    workload = Workload(max_crops=16, max_frames=16)
    manager = EngineManager(FakeBuilder(), EngineStore(folder.parent.parent / "engines"), workload)
    key = manager.key(manifest, Precision.FLOAT32, None)
    engine = manager.obtain(manifest, weights, key, progress=Progress())
    return FakeGpu(manifest, engine, GpuWorker(fake_device()))


def open_backend(implementation: str, folder: Path, oracle):
    if implementation in ("fake", "combining"):
        fake = FakeBackend(oracle, takes=load_manifest(folder).input)
        return fake if implementation == "fake" else CombiningBackend(fake, max_batch=8, lanes=2)
    if implementation == "fake-gpu":
        return open_fake_gpu(folder)
    try:
        return load_backend(folder, runtime=Runtime(implementation), threads=1, lanes=2)[1]
    except ConflictError as error:
        if MUST_RUN in os.environ:
            raise
        pytest.skip(error.message)


@pytest.fixture(
    params=[
        *("fake", "combining", "fake-gpu"),
        *(runtime.value for runtime in Runtime if runtime is not Runtime.AUTO and not runtime.on_gpu),
        *(pytest.param(name, marks=pytest.mark.gpu) for name in ("tensorrt", "tensorrt-fp16")),
    ]
)
def implementation(request):
    return request.param


@pytest.fixture(params=["embedder", "detector"])
def network(request):
    return request.param


@pytest.fixture(autouse=True)
def engines_are_kept_among_what_is_temporary(tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.getbasetemp())


@pytest.fixture
def backend(implementation, network, folders):
    opened = open_backend(implementation, folders[network], ORACLE[network])
    yield opened
    opened.close()


@pytest.fixture
def tolerance(implementation):
    return TOLERANCE.get(implementation, 1e-5)


def pictures(network: str, count: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.uniform(-127.5, 127.5, (count, *SHAPE[network])).astype(np.float32)


def assert_close(outputs, wanted, tolerance):
    assert len(outputs) == len(wanted)
    for output, want in zip(outputs, wanted, strict=True):
        assert output.shape == want.shape
        assert output.dtype == np.float32
        np.testing.assert_allclose(output, want, rtol=0, atol=tolerance * np.abs(want).max())


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16, 33])
def test_outputs_are_those_of_the_network_in_the_manifests_order(backend, network, tolerance, count):
    batch = pictures(network, count)
    assert_close(backend.run(batch), ORACLE[network](batch), tolerance)


def unmade(network: str, count: int) -> Cuts:
    """A batch of pictures that nobody has made yet, some rows of which share a picture."""
    height, width = SHAPE[network][1:]
    drawn = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)
    images = [drawn[row - row % 2] for row in range(count)]
    canvas = Canvas(width, height, width, height, (width, height))
    rows = tuple(Cut(image, canvas, lambda image=image: image) for image in images)
    pixels = PixelSpec(ColourOrder.RGB, (127.5, 127.5, 127.5), (1.0, 1.0, 1.0))
    return Cuts(rows, (width, height), pixels, partial(to_tensor, pixels=pixels))


@pytest.mark.parametrize("count", [1, 3, 16, 33])
def test_pictures_that_are_not_made_into_a_batch_yet_are_answered_as_that_batch(backend, network, tolerance, count):
    batch = unmade(network, count)
    assert_close(backend.run(batch), ORACLE[network](batch.tensor()), max(tolerance, 1e-5))


def test_a_row_does_not_depend_on_the_rest_of_its_batch(backend, network, implementation, tolerance):
    # other kernels serve other lengths of batches on a GPU, and round otherwise
    tolerance = tolerance if implementation.startswith("tensorrt") else 1e-5
    batch = pictures(network, 5)
    together = backend.run(batch)
    for row in range(5):
        alone = backend.run(batch[row : row + 1])
        assert_close(alone, [output[row : row + 1] for output in together], tolerance)


def test_the_same_batch_gives_the_same_answer_whatever_ran_before(backend, network):
    batch = pictures(network, 4)
    first = backend.run(batch)
    kept = [output.copy() for output in first]
    backend.run(pictures(network, 4, seed=1))
    for output, before, again in zip(first, kept, backend.run(batch), strict=True):
        np.testing.assert_array_equal(output, before)
        np.testing.assert_array_equal(again, before)


def test_outputs_belong_to_the_caller(backend, network, tolerance):
    batch = pictures(network, 2)
    for output in backend.run(batch):
        output[:] = 7
    assert_close(backend.run(batch), ORACLE[network](batch), tolerance)


def test_a_batch_may_be_read_only_or_in_any_memory_order_and_is_not_written_to(backend, network, tolerance):
    batch = np.asfortranarray(pictures(network, 3))
    batch.flags.writeable = False
    strided = pictures(network, 6)[::2]
    before = strided.copy()
    assert_close(backend.run(batch), ORACLE[network](np.ascontiguousarray(batch)), tolerance)
    assert_close(backend.run(strided), ORACLE[network](before), tolerance)
    np.testing.assert_array_equal(strided, before)


def test_a_detector_takes_pictures_of_changing_sizes(implementation, folders, tolerance):
    backend = open_backend(implementation, folders["detector"], tiny.detector_outputs)
    for height, width in ((8, 8), (64, 32), (4, 400), (8, 8)):
        batch = np.random.default_rng(0).uniform(0, 255, (2, 3, height, width)).astype(np.float32)
        assert_close(backend.run(batch), tiny.detector_outputs(batch), tolerance)


@pytest.mark.parametrize(
    "batch",
    [
        pytest.param(np.zeros((3, 8, 8), np.float32), id="rank 3"),
        pytest.param(np.zeros((1, 1, 3, 8, 8), np.float32), id="rank 5"),
        pytest.param(np.zeros((2, 8, 8, 3), np.float32), id="channels last"),
        pytest.param(np.zeros((2, 4, 8, 8), np.float32), id="4 channels"),
        pytest.param(np.zeros((0, 3, 8, 8), np.float32), id="no rows"),
        pytest.param(np.zeros((2, 3, 0, 8), np.float32), id="no pixels"),
        pytest.param(np.zeros((2, 3, 8, 8), np.float64), id="float64"),
        pytest.param(np.zeros((2, 3, 8, 8), np.uint8), id="uint8"),
    ],
)
def test_a_batch_of_another_form_is_refused_and_the_next_one_served(backend, network, tolerance, batch):
    with pytest.raises(InferenceError) as caught:
        backend.run(batch)
    assert caught.value.reason == "INPUT_INVALID"
    good = pictures(network, 2)
    assert_close(backend.run(good), ORACLE[network](good), tolerance)


@pytest.mark.parametrize(
    ("kind", "height", "width"), [("embedder", 8, 9), ("embedder", 16, 16), ("detector", 8, 10), ("detector", 6, 8)]
)
def test_a_size_that_the_network_does_not_take_is_refused(implementation, folders, kind, height, width):
    backend = open_backend(implementation, folders[kind], ORACLE[kind])
    with pytest.raises(InferenceError) as caught:
        backend.run(np.zeros((1, 3, height, width), np.float32))
    assert caught.value.reason == "INPUT_INVALID"
    assert f"{width}x{height}" in caught.value.message


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_not_finite_are_an_error(backend, network, tolerance, poison):
    batch = pictures(network, 3)
    batch[1, 0, 2, 2] = poison
    with pytest.raises(InferenceError) as caught:
        backend.run(batch)
    assert caught.value.reason == "OUTPUT_INVALID"
    good = pictures(network, 3)
    assert_close(backend.run(good), ORACLE[network](good), tolerance)


def test_many_threads_get_each_their_own_answer(backend, network, tolerance):
    batches = [pictures(network, 1 + seed % 4, seed) for seed in range(32)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(backend.run, batches))
    for batch, outputs in zip(batches, answers, strict=True):
        assert_close(outputs, ORACLE[network](batch), tolerance)


def test_a_closed_backend_says_so_and_may_be_closed_again(backend, network):
    backend.close()
    backend.close()
    with pytest.raises(InferenceError) as caught:
        backend.run(pictures(network, 1))
    assert caught.value.reason == "BACKEND_CLOSED"


def test_the_name_says_library_device_and_precision(implementation, network, folders):
    backend = open_backend(implementation, folders[network], ORACLE[network])
    if implementation.startswith("tensorrt"):
        precision = "f16" if implementation.endswith("fp16") else "f32"
        assert re.fullmatch(rf"tensorrt(-rtx)?-sm[0-9]+\+?-{precision}", backend.name)
        return
    assert (
        backend.name
        == {
            "fake": "fake",
            "combining": "fake",
            "fake-gpu": "fake-sm00-f32",
            "onnxruntime": "onnxruntime-cpu",
            "openvino": "openvino-cpu-f32",
            "openvino-bf16": "openvino-cpu-bf16",
        }[implementation]
    )
