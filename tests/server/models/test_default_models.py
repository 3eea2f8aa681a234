"""The default models as they are installed: the runtimes agree with each other and with the published files."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import onnxruntime
import pytest

from server.domain import ColourOrder
from server.errors import ConflictError
from server.inference.load import Runtime, load_backend
from server.inference.manifest import Kind
from server.models.catalogue import CATALOGUE, CENTERFACE, DLIB_RESNET, SFACE, YUNET
from server.models.verify import verify

pytestmark = pytest.mark.models

FACE = (slice(120, 320), slice(165, 335))


def name(entry) -> str:
    return entry.name


def open_model(models_dir, entry, runtime):
    try:
        return load_backend(models_dir / entry.model, runtime=runtime, threads=2)[1]
    except ConflictError as error:
        pytest.skip(error.message)


def tensor(entry, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(1, 3, H, W) as the manifest wants it; `size` is (width, height)."""
    pixels = entry.input.pixels
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    ordered = resized[..., ::-1] if pixels.colour is ColourOrder.RGB else resized
    scaled = (ordered - np.array(pixels.mean)) / np.array(pixels.std)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], np.float32)


def views(entry, portrait: np.ndarray) -> np.ndarray:
    """Three different pictures in one batch."""
    if entry.kind is Kind.EMBEDDER:
        image, size = portrait[FACE], (entry.input.width, entry.input.height)
    else:
        image, size = portrait, (320, 384)
    variants = (image, image[:, ::-1], cv2.GaussianBlur(image, (0, 0), 2))
    return np.concatenate([tensor(entry, variant, size) for variant in variants])


@pytest.mark.parametrize("runtime", [r for r in Runtime if r is not Runtime.AUTO], ids=lambda runtime: runtime.value)
@pytest.mark.parametrize("entry", CATALOGUE, ids=name)
def test_an_installed_model_is_what_its_manifest_says(models_dir, entry, runtime):
    try:
        findings = verify(models_dir / entry.model, runtime=runtime)
    except ConflictError as error:
        pytest.skip(error.message)
    assert findings.manifest == entry.manifest(findings.manifest.sha256)
    assert findings.warnings == ()


@pytest.mark.parametrize("entry", CATALOGUE, ids=name)
def test_openvino_agrees_with_onnx_runtime(models_dir, portrait, entry):
    batch = views(entry, portrait)
    reference = open_model(models_dir, entry, Runtime.ONNXRUNTIME).run(batch)
    for one, other in zip(reference, open_model(models_dir, entry, Runtime.OPENVINO).run(batch), strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-4 * max(1, np.abs(one).max()))


@pytest.mark.parametrize("entry", [SFACE, DLIB_RESNET], ids=name)
def test_bf16_embeddings_point_where_float32_embeddings_do(models_dir, portrait, entry):
    batch = views(entry, portrait)
    (exact,) = open_model(models_dir, entry, Runtime.OPENVINO).run(batch)
    (rough,) = open_model(models_dir, entry, Runtime.OPENVINO_BF16).run(batch)
    cosines = (exact * rough).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rough, axis=1)
    assert cosines.min() >= 0.998


@pytest.mark.parametrize("entry", [YUNET, CENTERFACE], ids=name)
def test_bf16_detectors_see_the_same_face(models_dir, portrait, entry):
    batch = views(entry, portrait)
    exact = open_model(models_dir, entry, Runtime.OPENVINO).run(batch)
    rough = open_model(models_dir, entry, Runtime.OPENVINO_BF16).run(batch)
    scores = exact[0].reshape(len(batch), -1), rough[0].reshape(len(batch), -1)
    np.testing.assert_allclose(scores[1].max(1), scores[0].max(1), atol=0.03)
    if entry is CENTERFACE:
        assert scores[0].max(1).min() > 0.5
        np.testing.assert_array_equal(scores[0].argmax(1), scores[1].argmax(1))


@pytest.mark.parametrize("entry", [YUNET, CENTERFACE], ids=name)
def test_detectors_take_any_size_in_multiples_of_32(models_dir, entry):
    backend = open_model(models_dir, entry, Runtime.ONNXRUNTIME)
    generator = np.random.default_rng(0)
    for count, height, width in itertools.chain([(2, 32, 32)], [(1, 160, 96), (3, 96, 160)]):
        outputs = backend.run(generator.uniform(0, 255, (count, 3, height, width)).astype(np.float32))
        cells = outputs[0][0].size if entry is CENTERFACE else outputs[0].shape[1]
        assert cells == height * width // (16 if entry is CENTERFACE else 64)


def test_centerface_computes_what_the_published_file_does(models_dir, original):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    published = onnxruntime.InferenceSession(original(CENTERFACE), options, providers=["CPUExecutionProvider"])
    batch = np.random.default_rng(0).uniform(0, 255, (10, 3, 32, 32)).astype(np.float32)
    wanted = published.run(list(CENTERFACE.part.outputs), {"input.1": batch})
    for got, want in zip(open_model(models_dir, CENTERFACE, Runtime.ONNXRUNTIME).run(batch), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_sface_computes_what_opencv_makes_of_the_published_file(models_dir, original, portrait):
    published = cv2.dnn.readNetFromONNX(np.frombuffer(original(SFACE), np.uint8))
    batch = views(SFACE, portrait)[:1]
    published.setInput(batch, "data")
    (got,) = open_model(models_dir, SFACE, Runtime.ONNXRUNTIME).run(batch)
    np.testing.assert_allclose(got, published.forward(), rtol=0, atol=1e-4)


def test_yunet_computes_what_opencv_makes_of_the_published_file(models_dir, original, portrait):
    published = cv2.dnn.readNetFromONNX(np.frombuffer(original(YUNET), np.uint8))
    batch = tensor(YUNET, portrait, (640, 640))
    published.setInput(batch)
    wanted = published.forward(list(YUNET.part.outputs))
    for got, want in zip(open_model(models_dir, YUNET, Runtime.ONNXRUNTIME).run(batch), wanted, strict=True):
        np.testing.assert_allclose(got, want.reshape(got.shape), rtol=0, atol=1e-3)


@pytest.mark.parametrize("entry", CATALOGUE, ids=name)
def test_converting_the_published_file_again_gives_the_installed_bytes(models_dir, original, entry):
    assert entry.convert(original(entry)) == (models_dir / entry.model / "model.onnx").read_bytes()
