"""The contract of `Preprocessor`, held by every implementation: on the CPU, on a fake GPU, on a real one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from server.domain import AlignmentTemplate, ColourOrder, PixelSpec
from server.inference.cuts import Cuts, as_tensor
from server.inference.engines.library import find_library
from server.inference.gpu.fake import fake_device, opencv_kernels
from server.inference.gpu.open import open_gpu
from server.inference.gpu.worker import GpuWorker
from server.inference.load import Runtime, load_backend
from server.inference.manifest import load_manifest
from server.pipeline.preprocess import Aligned, CpuPreprocessor, GpuPreprocessor
from server.vision.align import align
from server.vision.detect import DetectionRule, find_faces
from server.vision.portrait import draw_crowd, draw_portrait, landmarks_of, portrait
from server.vision.preprocess import fit, letterbox_for, to_tensor
from server.vision.refine import cut
from tests.host_kernels import COMPILER, host_compiler
from tests.real_data import data_folder
from tests.server_process import MODELS

PLAIN = PixelSpec(ColourOrder.BGR, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
SCALED = PixelSpec(ColourOrder.RGB, (123.7, 116.3, 103.5), (58.4, 57.1, 57.4))
TEMPLATE = AlignmentTemplate(112, 112, ((38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2)))
LEVELS, COSINE = 1.0, 0.999


class OnCpu:
    """The CPU's implementation; its batches are made."""

    def __init__(self):
        self.preprocessor = CpuPreprocessor()

    def made(self, batch):
        assert isinstance(batch, np.ndarray)
        return batch

    def close(self):
        pass


class OnGpu:
    """The GPU's implementation, with a device of its own."""

    def __init__(self, open_device):
        self.worker = GpuWorker(open_device)
        assert self.worker.makes_batches
        self.preprocessor = GpuPreprocessor(lambda: True, self.worker.holds)

    def made(self, batch):
        assert isinstance(batch, Cuts)
        return self.worker.do(lambda _device: self.worker._preprocessor.made(batch))

    def close(self):
        self.worker.close()


@pytest.fixture(params=["cpu", "fake-gpu", "kernels", pytest.param("gpu", marks=pytest.mark.gpu)])
def rig(request, tmp_path_factory):
    if request.param == "cpu":
        made = OnCpu()
    elif request.param == "fake-gpu":
        made = OnGpu(fake_device(compiler=opencv_kernels))
    elif request.param == "kernels":
        if COMPILER is None:
            pytest.skip("no g++")
        made = OnGpu(fake_device(compiler=host_compiler(tmp_path_factory.getbasetemp())))
    else:
        made = OnGpu(lambda: open_gpu(find_library()))
    yield made
    made.close()


def drawn(width, height):
    crowd = draw_crowd(range(12), columns=4, side=max(width // 4, height // 3) + 1)[:height, :width]
    noise = np.random.default_rng(0).integers(-40, 41, crowd.shape)
    return np.clip(crowd.astype(int) + noise, 0, 255).astype(np.uint8)


def photos():
    """Real photographs of 250 to some thousand pixels, where they are at hand."""
    folder = data_folder()
    paths = [*sorted((folder / "lfw" / "images").glob("*/*_0001.jpg"))[::400], *sorted((folder / "clips").glob("*/*"))]
    found = [cv2.imread(str(path)) for path in paths if path.suffix in (".jpg", ".jpeg", ".png")]
    if not found:
        pytest.skip(f"no photographs at {folder}")
    return found


def levels(ours, want, pixels):
    """Mean difference in grey levels of each row."""
    assert ours.shape == want.shape
    assert ours.dtype == np.float32
    return (np.abs(ours - want) * np.reshape(pixels.std, (3, 1, 1))).mean(axis=(1, 2, 3))


def faces_in(image, count, seed=0):
    """Landmarks of faces of many sizes and turns, some beyond the edge: (count, 5, 2)."""
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        angle, zoom = draw.uniform(-0.9, 0.9), draw.uniform(0.3, 1.2) * min(image.shape[:2]) / 112
        turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centre = draw.uniform(0.1, 0.9, 2) * image.shape[1::-1]
        points = (np.asarray(TEMPLATE.points) - 56) @ turn.T + centre
        found.append(points + draw.normal(0, 0.5 * zoom, points.shape))
    return np.asarray(found, np.float32)


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (641, 479), (333, 777), (320, 180), (31, 17)])
@pytest.mark.parametrize("pixels", [PLAIN, SCALED], ids=["plain", "scaled"])
def test_a_letterboxed_picture_is_that_of_the_cpu(rig, width, height, pixels):
    image = drawn(width, height)
    box = letterbox_for(image, longest_side=320, multiple=32)
    ours = rig.made(rig.preprocessor.letterboxed(image, box, pixels))
    assert levels(ours, to_tensor([fit(image, box)], pixels), pixels).max() <= LEVELS


@pytest.mark.parametrize("seen_before", [False, True])
@pytest.mark.parametrize("pixels", [PLAIN, SCALED], ids=["plain", "scaled"])
def test_windows_and_crops_are_those_of_the_cpu_whether_the_picture_was_uploaded_or_not(rig, seen_before, pixels):
    image = drawn(900, 700)
    if seen_before:
        rig.made(rig.preprocessor.letterboxed(image, letterbox_for(image, longest_side=320, multiple=32), pixels))
    landmarks = faces_in(image, 5)
    crops = align(image, landmarks, TEMPLATE)
    ours = rig.made(rig.preprocessor.crops(crops, Aligned(image, landmarks, TEMPLATE), pixels))
    assert levels(ours, to_tensor(crops, pixels), pixels).max() <= LEVELS
    matrices = np.asarray([[[0.3, 0, -20], [0, 0.3, -10]], [[1.7, 0, -400], [0, 1.7, -500]]])
    ours = rig.made(rig.preprocessor.windows(image, matrices, 128, pixels))
    assert levels(ours, to_tensor(cut(image, matrices, side=128), pixels), pixels).max() <= LEVELS


def test_on_photographs_all_inputs_are_those_of_the_cpu(rig):
    seen = {"letterboxed": 0.0, "windows": 0.0, "crops": 0.0}
    for number, image in enumerate(photos()):
        box = letterbox_for(image, longest_side=160, multiple=32)
        ours = rig.made(rig.preprocessor.letterboxed(image, box, PLAIN))
        seen["letterboxed"] = max(seen["letterboxed"], *levels(ours, to_tensor([fit(image, box)], PLAIN), PLAIN))
        landmarks = faces_in(image, 4, seed=number)
        crops = align(image, landmarks, TEMPLATE)
        ours = rig.made(rig.preprocessor.crops(crops, Aligned(image, landmarks, TEMPLATE), PLAIN))
        seen["crops"] = max(seen["crops"], *levels(ours, to_tensor(crops, PLAIN), PLAIN))
        matrices = np.asarray([[[s, 0, 0.3], [0, s, -4.2]] for s in (0.1, 0.45, 0.9, 2.0)])
        ours = rig.made(rig.preprocessor.windows(image, matrices, 128, PLAIN))
        want = to_tensor(cut(image, matrices, side=128), PLAIN)
        seen["windows"] = max(seen["windows"], *levels(ours, want, PLAIN))
    assert max(seen.values()) <= LEVELS


@pytest.mark.models
@pytest.mark.parametrize("model", ["sface/2021dec", "dlib-resnet/v1"])
def test_embeddings_of_photographs_are_those_of_the_cpu(rig, model):
    folder = MODELS / "yunet/2023mar"
    detector, network = load_manifest(folder), load_backend(folder, runtime=Runtime.ONNXRUNTIME, threads=1)[1]
    manifest, backend = load_backend(MODELS / model, runtime=Runtime.ONNXRUNTIME, threads=1)
    template, pixels, part = manifest.template(), manifest.pixels(), detector.as_detector()
    rule, cosines = DetectionRule(part.decoding, part.score_threshold, part.nms_iou), []
    for image in photos():
        box = letterbox_for(image, longest_side=640, multiple=detector.input.size_multiple)
        made = rig.made(rig.preprocessor.letterboxed(image, box, detector.pixels()))
        faces = box.to_image(find_faces(network.run(made), rule, input_size=(box.width, box.height))[0])
        if len(faces) == 0:
            continue
        crops = align(image, faces.landmarks, template)
        ours = rig.made(rig.preprocessor.crops(crops, Aligned(image, faces.landmarks, template), pixels))
        one, other = backend.run(ours)[0], backend.run(to_tensor(crops, pixels))[0]
        cosines.extend((one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1))
    assert len(cosines) > 5
    assert min(cosines) >= COSINE
    network.close()
    backend.close()


def test_a_single_window_of_a_single_face_is_cut_where_the_face_is(rig):
    face = portrait(3)
    image = draw_portrait(face, 300)
    points = landmarks_of(face, 300)[None].astype(np.float32)
    crops = align(image, points, TEMPLATE)
    ours = rig.made(rig.preprocessor.crops(crops, Aligned(image, points, TEMPLATE), PLAIN))
    assert levels(ours, to_tensor(crops, PLAIN), PLAIN).max() <= LEVELS


def test_a_batch_can_still_be_made_on_the_cpu_on_its_way(rig):
    image = drawn(640, 360)
    box = letterbox_for(image, longest_side=320, multiple=32)
    batch = rig.preprocessor.letterboxed(image, box, SCALED)
    np.testing.assert_array_equal(as_tensor(batch), to_tensor([fit(image, box)], SCALED))
    landmarks = faces_in(image, 6)
    crops = align(image, landmarks, TEMPLATE)
    np.testing.assert_array_equal(
        as_tensor(rig.preprocessor.crops(crops, Aligned(image, landmarks, TEMPLATE), SCALED)), to_tensor(crops, SCALED)
    )
    matrices = np.asarray([[[0.5, 0, 0.0], [0, 0.5, 0]]] * 9)
    np.testing.assert_array_equal(
        as_tensor(rig.preprocessor.windows(image, matrices, 64, SCALED)),
        to_tensor(cut(image, matrices, side=64), SCALED),
    )


def test_pictures_are_not_written_to(rig):
    image = drawn(300, 200)
    image.flags.writeable = False
    box = letterbox_for(image, longest_side=128, multiple=32)
    rig.made(rig.preprocessor.letterboxed(image, box, PLAIN))


def test_while_the_network_is_not_on_the_gpu_batches_are_made_on_the_cpu():
    preprocessor, image = GpuPreprocessor(lambda: False, lambda _image: True), drawn(300, 200)
    box = letterbox_for(image, longest_side=128, multiple=32)
    landmarks = faces_in(image, 2)
    of = Aligned(image, landmarks, TEMPLATE)
    assert isinstance(preprocessor.letterboxed(image, box, PLAIN), np.ndarray)
    assert isinstance(preprocessor.windows(image, np.zeros((1, 2, 3)), 64, PLAIN), np.ndarray)
    assert isinstance(preprocessor.crops(align(image, landmarks, TEMPLATE), of, PLAIN), np.ndarray)


@pytest.mark.parametrize(("held", "faces", "uploaded"), [(True, 1, 0), (False, 1, 1), (False, 40, 0)])
def test_what_costs_fewer_bytes_is_uploaded(held, faces, uploaded):
    """One crop is 37,632 bytes, the picture 1,382,400: as many as 37 crops."""
    image = drawn(960, 480)
    preprocessor = GpuPreprocessor(lambda: True, lambda _image: held)
    landmarks = faces_in(image, faces)
    crops = align(image, landmarks, TEMPLATE)
    batch = preprocessor.crops(crops, Aligned(image, landmarks, TEMPLATE), PLAIN)
    assert isinstance(batch, Cuts)
    others = {id(row.picture) for row in batch.rows} - {id(image)}
    assert len(others) == uploaded
    assert all(row.picture.nbytes == crops.nbytes for row in batch.rows) == bool(uploaded)
