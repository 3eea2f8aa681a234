"""The GPU's kernels make of a picture what the CPU makes of it.

Where there is no GPU their very source is compiled for the processor and runs on a fake device.
"""

from __future__ import annotations

import numpy as np
import pytest

from server.domain import AlignmentTemplate, ColourOrder, PixelSpec
from server.errors import ConflictError
from server.inference.engines.library import find_library
from server.inference.gpu.device import DeviceError
from server.inference.gpu.fake import FakeDevice, Faults, Record
from server.inference.gpu.open import open_gpu
from server.inference.gpu.preprocess import Canvas, GpuPreprocessor
from server.inference.manifest import load_manifest
from server.vision.align import align, sampling_rows, similarities
from server.vision.portrait import draw_crowd, draw_portrait, landmarks_of, portrait
from server.vision.preprocess import fit, halved, letterbox_for, to_tensor
from tests.host_kernels import COMPILER, host_compiler
from tests.server_process import MODELS

PLAIN = PixelSpec(ColourOrder.BGR, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
SCALED = PixelSpec(ColourOrder.RGB, (123.7, 116.3, 103.5), (58.4, 57.1, 57.4))
TEMPLATE = AlignmentTemplate(112, 112, ((38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2)))


@pytest.fixture(scope="module")
def compiler(tmp_path_factory):
    if COMPILER is None:
        pytest.skip("no g++")
    return host_compiler(tmp_path_factory.mktemp("kernels"))


@pytest.fixture(params=["host", pytest.param("gpu", marks=pytest.mark.gpu)])
def preprocessor(request):
    if request.param == "gpu":
        device = open_gpu(find_library())
    else:
        device = FakeDevice(Faults(), Record(), compiler=request.getfixturevalue("compiler"))
    made = GpuPreprocessor(device)
    yield made
    made.close()
    device.close()


def picture(width, height, seed=0):
    """A drawn crowd with grain, so that every pixel counts."""
    crowd = draw_crowd(range(12), columns=4, side=-(-max(width // 4, height // 3) // 1) + 1)[:height, :width]
    noise = np.random.default_rng(seed).integers(-40, 41, crowd.shape)
    return np.clip(crowd.astype(int) + noise, 0, 255).astype(np.uint8)


def canvas_of(image, longest_side, multiple=32):
    box = letterbox_for(image, longest_side=longest_side, multiple=multiple)
    inner = [
        min(side, max(1, round(own * box.scale)))
        for side, own in zip((box.width, box.height), image.shape[1::-1], strict=True)
    ]
    return box, Canvas(box.width, box.height, *inner, halved(image.shape[1::-1], tuple(inner)))


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (641, 479), (333, 777), (320, 180), (31, 17), (1920, 1080)])
@pytest.mark.parametrize("pixels", [PLAIN, SCALED], ids=["plain", "scaled"])
def test_letterboxing_agrees_with_the_cpu(preprocessor, width, height, pixels):
    image = picture(width, height)
    box, canvas = canvas_of(image, 640)
    want = to_tensor([fit(image, box)], pixels)
    ours = preprocessor.letterboxed(image, canvas, pixels)
    assert ours.shape == want.shape
    grey = np.abs(ours - want) * np.reshape(pixels.std, (3, 1, 1))
    assert grey.mean() <= 0.5
    assert grey.max() <= 8


@pytest.mark.parametrize("scale", [0.2, 0.3, 0.49, 0.51, 1.0, 2.5])
@pytest.mark.parametrize("pixels", [PLAIN, SCALED], ids=["plain", "scaled"])
def test_warped_crops_agree_with_the_cpu(preprocessor, scale, pixels):
    side = round(112 / scale)
    image = picture(round(side * 2.2), round(side * 1.7))
    generator = np.random.default_rng(1)
    faces = []
    for _ in range(6):
        angle, zoom = generator.uniform(-0.9, 0.9), generator.uniform(0.9, 1.1) / scale
        turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centre = generator.uniform(0.1, 0.9, 2) * image.shape[1::-1]
        points = (np.asarray(TEMPLATE.points) - 56) @ turn.T + centre
        faces.append(points + generator.normal(0, 0.5 * zoom, points.shape))
    landmarks = np.asarray(faces, np.float32)
    want = to_tensor(align(image, landmarks, TEMPLATE), pixels)
    rows = sampling_rows(image.shape[:2], similarities(landmarks, TEMPLATE), (112, 112))
    ours = preprocessor.warped(image, rows, (112, 112), pixels)
    assert ours.shape == want.shape
    grey = np.abs(ours - want) * np.reshape(pixels.std, (3, 1, 1))
    assert grey.mean() <= 1.0


def test_a_crop_that_lies_beside_the_image_is_black(preprocessor):
    landmarks = np.asarray([TEMPLATE.points], np.float32) + 5000
    image = picture(200, 150)
    rows = sampling_rows(image.shape[:2], similarities(landmarks, TEMPLATE), (112, 112))
    assert not preprocessor.warped(image, rows, (112, 112), PLAIN).any()


def test_landmarks_that_coincide_give_one_colour_as_on_the_cpu(preprocessor):
    landmarks = np.full((1, 5, 2), 70, np.float32)
    image = picture(200, 150)
    rows = sampling_rows(image.shape[:2], similarities(landmarks, TEMPLATE), (112, 112))
    want = to_tensor(align(image, landmarks, TEMPLATE), PLAIN)
    np.testing.assert_allclose(preprocessor.warped(image, rows, (112, 112), PLAIN), want, atol=1)


def test_a_smaller_frame_after_a_larger_one_is_not_mixed_with_it(preprocessor):
    for width, height in ((400, 300), (100, 80), (500, 20), (400, 300)):
        image = picture(width, height, seed=width)
        box, canvas = canvas_of(image, 128)
        ours = preprocessor.letterboxed(image, canvas, PLAIN)
        assert np.abs(ours - to_tensor([fit(image, box)], PLAIN)).mean() <= 0.5


@pytest.mark.models
@pytest.mark.parametrize("model", ["sface/2021dec", "dlib-resnet/v1"])
def test_embeddings_of_crops_from_the_kernels_are_those_of_the_cpu(preprocessor, model):
    from server.inference.load import Runtime, load_backend

    manifest = load_manifest(MODELS / model)
    _, backend = load_backend(MODELS / model, runtime=Runtime.ONNXRUNTIME, threads=1)
    template, pixels = manifest.template(), manifest.pixels()
    cosines = []
    for seed, side in enumerate((120, 200, 400, 900)):
        face = portrait(seed)
        image, landmarks = draw_portrait(face, side), landmarks_of(face, side)[None]
        size = (template.height, template.width)
        rows = sampling_rows(image.shape[:2], similarities(landmarks, template), size)
        ours = backend.run(preprocessor.warped(image, rows, (template.width, template.height), pixels))[0][0]
        want = backend.run(to_tensor(align(image, landmarks, template), pixels))[0][0]
        cosines.append(float(ours @ want / np.linalg.norm(ours) / np.linalg.norm(want)))
    backend.close()
    assert min(cosines) >= 0.999


def test_memory_is_given_back(compiler):
    record = Record()
    device = FakeDevice(Faults(), record, compiler=compiler)
    preprocessor = GpuPreprocessor(device)
    preprocessor.letterboxed(picture(64, 48), Canvas(64, 64, 64, 48, (64, 48)), PLAIN)
    preprocessor.close()
    assert record.held == 0
    device.close()


def test_a_device_without_a_compiler_says_so():
    device = FakeDevice(Faults(), Record())
    with pytest.raises(DeviceError, match="no compiler"):
        GpuPreprocessor(device)
    device.close()


def test_opening_a_gpu_where_nothing_reaches_one_says_what_to_install():
    def missing(_library):
        raise ImportError("No module named 'pycuda'")

    with pytest.raises(ConflictError, match=r"facestream\[tensorrt\]") as caught:
        open_gpu(None, {"pycuda": missing})
    assert caught.value.reason == "CUDA_LIBRARY_MISSING"
