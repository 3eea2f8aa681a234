"""The launches that make a batch on a device; tests/conformance/test_preprocessor.py holds what they make to the CPU.

Where there is no GPU the very source of the kernels is compiled for the processor and runs on a fake device.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from server.domain import ColourOrder, PixelSpec
from server.errors import ConflictError
from server.inference.cuts import Canvas, Cut, Cuts, Warp
from server.inference.gpu.device import DeviceError, Trouble
from server.inference.gpu.fake import FakeDevice, Faults, Record, opencv_kernels
from server.inference.gpu.frames import ResidentFrames
from server.inference.gpu.open import open_gpu
from server.inference.gpu.preprocess import GpuPreprocessor, Samplings
from server.vision.align import align, sampling_rows, similarities
from server.vision.preprocess import to_tensor
from tests.conformance.test_preprocessor import TEMPLATE
from tests.host_kernels import COMPILER, host_compiler

PLAIN = PixelSpec(ColourOrder.BGR, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
AS_IT_IS = (1, 0, 0, 0, 1, 0, 0, 0, 1, 1)


@pytest.fixture
def record():
    return Record()


@pytest.fixture(params=["opencv", "kernels"])
def device(request, record, tmp_path_factory):
    if request.param == "kernels" and COMPILER is None:
        pytest.skip("no g++")
    compiler = opencv_kernels if request.param == "opencv" else host_compiler(tmp_path_factory.getbasetemp())
    opened = FakeDevice(Faults(), record, compiler=compiler)
    yield opened
    opened.close()


@pytest.fixture
def preprocessor(device):
    return GpuPreprocessor(device, ResidentFrames(device))


def picture(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def whole(image):
    """A cut that takes a picture as it is."""
    height, width = image.shape[:2]
    return Cut(image, Warp(np.asarray([*AS_IT_IS, width, height], np.float32)), lambda: image)


def shrunk(image):
    height, width = image.shape[:2]
    return Cut(image, Canvas(width, height, width, height, (width, height)), lambda: image)


def cuts(*rows, size=(20, 16)):
    return Cuts(rows, size, PLAIN, partial(to_tensor, pixels=PLAIN))


def test_rows_of_many_pictures_come_in_their_order(preprocessor):
    images = [picture(20, 16, seed) for seed in range(3)]
    rows = [
        whole(images[0]),
        shrunk(images[1]),
        whole(images[1]),
        whole(images[1]),
        shrunk(images[2]),
        whole(images[0]),
    ]
    batch = cuts(*rows)
    np.testing.assert_array_equal(preprocessor.made(batch), batch.tensor())


def test_rows_beyond_the_batch_are_copies_of_its_last(device, preprocessor):
    batch, stream = cuts(whole(picture(20, 16, 1)), whole(picture(20, 16, 2))), device.stream()
    nbytes = 5 * 3 * 16 * 20 * 4
    target, home = device.memory(nbytes), device.pinned(nbytes)
    preprocessor.draw(batch, 5, target, Samplings(device), stream)
    device.copy_out(home, target, nbytes, stream)
    stream.synchronise()
    rows = home.array.view(np.float32).reshape(5, 3, 16, 20)
    np.testing.assert_array_equal(rows, batch.tensor()[[0, 1, 1, 1, 1]])


def test_a_picture_is_uploaded_once_whatever_is_cut_from_it(preprocessor):
    image = picture(20, 16)
    for _ in range(3):
        preprocessor.made(cuts(shrunk(image), whole(image)))
    assert preprocessor.frames.uploads == 1
    assert preprocessor.frames.uploaded_bytes == image.nbytes


def test_warps_of_one_picture_take_one_launch(preprocessor):
    image = picture(20, 16)
    preprocessor.made(cuts(*[whole(image)] * 9))
    launches = getattr(preprocessor._kernels, "launches", ["warp"])
    assert launches == ["warp"]


def test_a_smaller_picture_after_a_larger_one_is_not_mixed_with_it(preprocessor):
    for size in ((400, 300), (100, 80), (500, 20), (400, 300)):
        batch = cuts(shrunk(picture(*size, seed=size[0])), size=size)
        np.testing.assert_array_equal(preprocessor.made(batch), batch.tensor())


def test_a_crop_that_lies_beside_the_image_is_black(preprocessor):
    landmarks = np.asarray([TEMPLATE.points], np.float32) + 5000
    image = picture(200, 150)
    (row,) = sampling_rows(image.shape[:2], similarities(landmarks, TEMPLATE), (112, 112))
    assert not preprocessor.made(cuts(Cut(image, Warp(row), lambda: image), size=(112, 112))).any()


def test_landmarks_that_coincide_give_one_colour_as_on_the_cpu(preprocessor):
    landmarks = np.full((1, 5, 2), 70, np.float32)
    image = picture(200, 150)
    (row,) = sampling_rows(image.shape[:2], similarities(landmarks, TEMPLATE), (112, 112))
    want = to_tensor(align(image, landmarks, TEMPLATE), PLAIN)
    ours = preprocessor.made(cuts(Cut(image, Warp(row), lambda: image), size=(112, 112)))
    np.testing.assert_allclose(ours, want, atol=1)


def test_a_batch_that_cannot_be_made_leases_nothing(device, preprocessor, record):
    image = picture(20, 16)
    preprocessor.made(cuts(whole(image)))
    device.faults.memory = record.held + 100_000
    with pytest.raises(DeviceError) as caught:
        preprocessor.made(cuts(whole(image), whole(picture(300, 300))))
    assert caught.value.trouble is Trouble.OUT_OF_MEMORY
    preprocessor.frames.shrink()
    assert preprocessor.frames.nbytes == 0


def test_a_device_without_a_compiler_says_so():
    device = FakeDevice(Faults(), Record())
    with pytest.raises(DeviceError, match="no compiler"):
        GpuPreprocessor(device, ResidentFrames(device))
    device.close()


def test_opening_a_gpu_where_nothing_reaches_one_says_what_to_install():
    def missing(_library):
        raise ImportError("No module named 'pycuda'")

    with pytest.raises(ConflictError, match=r"facestream\[tensorrt\]") as caught:
        open_gpu(None, {"pycuda": missing})
    assert caught.value.reason == "CUDA_LIBRARY_MISSING"
