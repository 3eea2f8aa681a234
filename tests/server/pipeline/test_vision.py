"""Networks and arithmetic joined: faces are found, straightened and embedded as if each step were done by hand."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from server.domain import AlignmentTemplate, ColourOrder, Decoding, Faces, PixelSpec
from server.errors import InferenceError
from server.inference.backend import FakeBackend
from server.pipeline.vision import Detector, Embedder, FaceVision, Landmarker, fingerprint_of, largest_first
from server.vision.detect import DetectionRule
from server.vision.quality import QualityScale
from tests.painted import DIMENSION, PaintedFace, between, paint, person

PIXELS = PixelSpec(ColourOrder.BGR)
RULE = DetectionRule(Decoding.CENTERFACE, min_score=0.5, max_overlap=0.3)
TEMPLATE = AlignmentTemplate(32, 32, ((10, 11), (22, 11), (16, 18), (11, 25), (21, 25)))


def centerface_outputs(count, height, width, cells):
    """CenterFace's outputs with a 40x40 face in these (image, row, column) cells."""
    shape = (height // 4, width // 4)
    heat = np.zeros((count, 1, *shape), np.float32)
    scale = np.full((count, 2, *shape), np.log(10), np.float32)
    offset = np.zeros((count, 2, *shape), np.float32)
    places = np.asarray([0.4, 0.3, 0.4, 0.7, 0.6, 0.5, 0.8, 0.35, 0.8, 0.65], np.float32)
    landmarks = np.tile(places[None, :, None, None], (count, 1, *shape))
    for i, row, column in cells:
        heat[i, 0, row, column] = 0.9
    return heat, scale, offset, landmarks


def detector_that_sees(*cells, longest_side=640, calls=None):
    def outputs(batch):
        return centerface_outputs(len(batch), *batch.shape[2:], [(0, *cell) for cell in cells])

    backend = FakeBackend(outputs)
    if calls is not None:
        backend.calls = calls
    return Detector(backend, PIXELS, RULE, size_multiple=32, longest_side=longest_side)


# ---- finding


def test_faces_are_found_in_pixels_of_the_image_however_much_it_is_shrunk():
    image = np.zeros((720, 1280, 3), np.uint8)
    (box,) = detector_that_sees((20, 30), longest_side=320).detect(image).boxes
    np.testing.assert_allclose(box, np.array([102, 62, 142, 102]) * 4)


def test_the_network_sees_a_picture_of_the_longest_side_padded_to_its_multiple():
    calls = []
    detector_that_sees(longest_side=320, calls=calls).detect(np.zeros((720, 1280, 3), np.uint8))
    assert calls == [(1, 3, 192, 320)]


def test_a_small_image_is_not_enlarged():
    calls = []
    detector_that_sees(calls=calls).detect(np.zeros((60, 100, 3), np.uint8))
    assert calls == [(1, 3, 64, 128)]


def test_the_largest_face_comes_first(loaded):
    faces = (PaintedFace(person(1), side=40, x=40, y=40), PaintedFace(person(2), side=120, x=220, y=90))
    found = loaded.vision.detector.detect(paint(faces, width=320))
    np.testing.assert_allclose(np.diff(found.boxes[:, 0::2]).ravel(), [120, 40])


@pytest.mark.parametrize("order", list(itertools.permutations([10, 20, 30])))
def test_faces_are_ordered_by_area_and_keep_their_landmarks_and_scores(order):
    boxes = np.asarray([[0, 0, side, side] for side in order], np.float32)
    landmarks = np.repeat(np.asarray(order, np.float32), 10).reshape(3, 5, 2)
    ordered = largest_first(Faces(boxes, landmarks, np.asarray(order, np.float32) / 100))
    assert ordered.landmarks[:, 0, 0].tolist() == [30, 20, 10]
    np.testing.assert_allclose(ordered.scores, [0.3, 0.2, 0.1])


def test_a_picture_without_faces_gives_none(loaded):
    assert len(loaded.vision.detector.detect(paint([]))) == 0


# ---- better landmarks


def test_landmarks_are_placed_anew_in_a_window_around_each_face():
    seen = []

    def outputs(batch):
        seen.append(batch)
        return centerface_outputs(len(batch), 128, 128, [(i, 15, 15) for i in range(len(batch))])

    faces = Faces(
        np.asarray([[100, 100, 140, 140], [10, 20, 50, 60]], np.float32),
        np.asarray([np.full((5, 2), 120), np.full((5, 2), 35)], np.float32),
        np.ones(2, np.float32),
    )
    image = np.zeros((200, 200, 3), np.uint8)
    image[100:140, 100:140] = 200
    refined = Landmarker(FakeBackend(outputs), PIXELS, RULE, side=128, margin=2.0).refine(image, faces)
    (batch,) = seen
    assert batch.shape == (2, 3, 128, 128)
    assert batch[0, 0, 64, 64] == 200  # the middle of the window is the middle of the face
    assert batch[0, 0, 20, 20] == 0  # and the window is twice as wide as the face
    # the window's face is at 62 +- 20 of 128, which are 80 pixels of the image from 80 on
    eye = 80 + (42 + 0.3 * 40) * 80 / 128
    np.testing.assert_allclose(refined.landmarks[0, 0, 0], eye, rtol=1e-5)
    np.testing.assert_array_equal(refined.boxes, faces.boxes)


def test_without_faces_the_landmarker_is_not_run():
    backend = FakeBackend(lambda batch: ())
    Landmarker(backend, PIXELS, RULE).refine(np.zeros((20, 20, 3), np.uint8), Faces.none())
    assert backend.calls == []


# ---- embedding


def embedder_that_says(function, dimension=2):
    return Embedder(FakeBackend(lambda batch: (np.asarray(function(batch), np.float32),)), PIXELS, TEMPLATE, dimension)


def crops(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)


def halves(batch):
    """Mean of the left half and of the right half of each crop."""
    return [[crop[..., :16].mean(), crop[..., 16:].mean()] for crop in batch]


def test_an_embedding_has_the_direction_that_the_network_says_and_norm_1():
    pictures = crops(5)
    said = np.asarray(halves(pictures.transpose(0, 3, 1, 2)))
    expected = said / np.linalg.norm(said, axis=1, keepdims=True)
    np.testing.assert_allclose(embedder_that_says(halves).embed(pictures), expected, rtol=1e-5)


def test_a_mirrored_embedding_is_the_sum_of_both_sides():
    pictures = crops(3)
    embedder = embedder_that_says(halves)
    mirrored = np.ascontiguousarray(pictures[:, :, ::-1])
    both = np.asarray(halves(pictures.transpose(0, 3, 1, 2))) + np.asarray(halves(mirrored.transpose(0, 3, 1, 2)))
    expected = both / np.linalg.norm(both, axis=1, keepdims=True)
    np.testing.assert_allclose(embedder.embed(pictures, mirrored=True), expected, rtol=1e-5)


def test_no_crops_give_no_embeddings_and_no_call():
    backend = FakeBackend(lambda batch: ())
    embedded = Embedder(backend, PIXELS, TEMPLATE, 7).embed(np.zeros((0, 32, 32, 3), np.uint8))
    assert embedded.shape == (0, 7)
    assert backend.calls == []


def test_an_embedding_without_a_direction_is_an_error_that_names_the_backend():
    with pytest.raises(InferenceError, match="fake") as refused:
        embedder_that_says(lambda batch: np.zeros((len(batch), 2))).embed(crops(2))
    assert refused.value.reason == "EMBEDDING_DEGENERATE"


# ---- the whole


def test_a_turned_face_is_embedded_as_the_upright_one(loaded):
    upright = paint([PaintedFace(between(3, 5, 0.5), x=160, y=160)], width=320, height=320)
    turn = cv2.getRotationMatrix2D((159.5, 159.5), 30, 1.0)
    turned = cv2.warpAffine(upright, turn, (320, 320))
    faces = loaded.vision.detector.detect(upright)
    landmarks = (faces.landmarks - 0.5) @ turn[:, :2].T + turn[:, 2] + 0.5
    turned_faces = Faces(faces.boxes, landmarks.astype(np.float32), faces.scores)
    analysis = loaded.vision.analyse(turned, turned_faces)
    (embedding,) = loaded.vision.embedder.embed(analysis.crops)
    assert np.sum((embedding - np.asarray(between(3, 5, 0.5))) ** 2) < 0.05
    assert abs(abs(analysis.qualities[0].roll_deg) - 30) < 1


def test_an_analysis_has_a_crop_and_a_quality_for_every_face(loaded):
    faces = (PaintedFace(person(1), side=40, x=40, y=40), PaintedFace(person(2), side=120, x=220, y=90))
    image = paint(faces, width=320)
    analysis = loaded.vision.analyse(image, loaded.vision.detector.detect(image))
    assert analysis.crops.shape == (2, 32, 32, 3)
    assert [quality.size_px for quality in analysis.qualities] == [120, 40]
    embeddings = loaded.vision.embedder.embed(analysis.crops)
    np.testing.assert_allclose(embeddings @ np.asarray([person(2), person(1)]).T, np.eye(2), atol=0.12)


def test_the_landmarkers_landmarks_are_the_ones_that_count(loaded):
    def elsewhere(batch):
        return centerface_outputs(len(batch), 128, 128, [(0, 16, 16)])

    vision = FaceVision(
        loaded.vision.detector,
        Landmarker(FakeBackend(elsewhere), PIXELS, RULE),
        loaded.vision.embedder,
        loaded.vision.refresher,
        QualityScale(),
        "x",
    )
    image = paint([PaintedFace(person(1), side=64)])
    faces = vision.detector.detect(image)
    assert not np.allclose(vision.analyse(image, faces).faces.landmarks, faces.landmarks)


def test_a_fingerprint_depends_on_every_part_and_on_their_order():
    parts = [("a", "b"), ("b", "a"), ("ab",), ("a", "b", ""), ("a",)]
    assert len({fingerprint_of(*some) for some in parts}) == len(parts)
    assert fingerprint_of("a", "b") == fingerprint_of("a", "b")


def test_the_painted_people_are_as_far_apart_as_they_are_painted(loaded):
    """What the other tests rest on."""
    for distance in (0.0, 0.3, 0.9, 1.5):
        image = paint([PaintedFace(between(7, 9, distance))])
        analysis = loaded.vision.analyse(image, loaded.vision.detector.detect(image))
        for mirrored in (False, True):
            (embedding,) = loaded.vision.embedder.embed(analysis.crops, mirrored=mirrored)
            assert abs(np.sum((embedding - np.asarray(person(7))) ** 2) - distance) < 0.02
    assert embedding.shape == (DIMENSION,)
