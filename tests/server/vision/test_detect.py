"""Raw outputs become faces as a naive reading of the formats says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain import Decoding, Faces
from server.vision.detect import DetectionRule, find_faces, suppress

WIDTH, HEIGHT = 96, 64


def random_faces(rng, count):
    corners = rng.uniform(0, 80, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 40, (count, 2))], axis=1)
    landmarks = rng.uniform(0, 100, (count, 5, 2))
    return Faces(
        *(array.astype(np.float32) for array in (boxes, landmarks, (rng.permutation(count) + 1) / (count + 1)))
    )


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0, width) * max(0, height)
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return shared / (area - shared)


def naive_suppress(faces, limit):
    kept = []
    for i in sorted(range(len(faces)), key=lambda i: -faces.scores[i]):
        if all(overlap(faces.boxes[i], faces.boxes[j]) <= limit for j in kept):
            kept.append(i)
    return kept


@given(st.integers(0, 2**32), st.integers(0, 40), st.sampled_from([0.2, 0.35, 0.6]))
def test_suppression_keeps_what_a_naive_loop_keeps(seed, count, limit):
    faces = random_faces(np.random.default_rng(seed), count)
    kept = suppress(faces, limit)
    np.testing.assert_array_equal(kept.scores, faces.scores[naive_suppress(faces, limit)])


@given(st.integers(0, 2**32))
def test_suppressing_twice_changes_nothing(seed):
    once = suppress(random_faces(np.random.default_rng(seed), 30), 0.3)
    np.testing.assert_array_equal(suppress(once, 0.3).boxes, once.boxes)


def yunet_outputs(rng, batch):
    """Random outputs with a few confident cells: twelve arrays in the order of the decoding."""
    planes = {size: [] for size in (1, 2, 4, 10)}
    for stride in (8, 16, 32):
        cells = (WIDTH // stride) * (HEIGHT // stride)
        for kind, size in ((1, 1), (2, 1), (4, 4), (10, 10)):
            if size == 1:
                values = np.where(rng.random((batch, cells, 1)) < 0.3, rng.uniform(0.7, 1, (batch, cells, 1)), 0.1)
            else:
                values = rng.normal(0, 0.5, (batch, cells, size))
            planes[kind].append(values.astype(np.float32))
    return [*planes[1], *planes[2], *planes[4], *planes[10]]


def naive_yunet(outputs, image, min_score):
    for level, stride in enumerate((8, 16, 32)):
        columns = WIDTH // stride
        classes, objects, boxes, points = (outputs[level + 3 * kind][image] for kind in range(4))
        for cell in range(len(classes)):
            score = (classes[cell, 0] * objects[cell, 0]) ** 0.5
            if score < min_score:
                continue
            row, column = divmod(cell, columns)
            dx, dy, w, h = boxes[cell]
            x, y = (column + dx) * stride, (row + dy) * stride
            half_w, half_h = np.exp(w) * stride / 2, np.exp(h) * stride / 2
            landmarks = [
                ((column + points[cell, 2 * j]) * stride, (row + points[cell, 2 * j + 1]) * stride) for j in range(5)
            ]
            yield score, (x - half_w, y - half_h, x + half_w, y + half_h), landmarks


def naive_centerface(outputs, image, min_score):
    heat, scale, offset, points = (output[image] for output in outputs)
    for row in range(heat.shape[1]):
        for column in range(heat.shape[2]):
            score = heat[0, row, column]
            if score < min_score:
                continue
            height, width = (np.exp(scale[k, row, column]) * 4 for k in range(2))
            x = max(0, (column + offset[1, row, column] + 0.5) * 4 - width / 2)
            y = max(0, (row + offset[0, row, column] + 0.5) * 4 - height / 2)
            x, y = min(x, WIDTH), min(y, HEIGHT)
            landmarks = [
                (points[2 * j + 1, row, column] * width + x, points[2 * j, row, column] * height + y) for j in range(5)
            ]
            yield score, (x, y, min(x + width, WIDTH), min(y + height, HEIGHT)), landmarks


def centerface_outputs(rng, batch):
    h, w = HEIGHT // 4, WIDTH // 4
    heat = np.where(rng.random((batch, 1, h, w)) < 0.03, rng.uniform(0.6, 1, (batch, 1, h, w)), 0.1)
    rest = [rng.normal(1, 0.5, (batch, planes, h, w)) for planes in (2, 2, 10)]
    return [array.astype(np.float32) for array in (heat, *rest)]


@pytest.mark.parametrize(
    ("decoding", "make", "naive"),
    [
        (Decoding.YUNET, yunet_outputs, naive_yunet),
        (Decoding.CENTERFACE, centerface_outputs, naive_centerface),
    ],
)
def test_every_image_of_a_batch_is_decoded_as_a_naive_loop_decodes_it(decoding, make, naive):
    outputs = make(np.random.default_rng(7), 3)
    everything = DetectionRule(decoding, min_score=0.5, max_overlap=1.0)
    found = find_faces(outputs, everything, input_size=(WIDTH, HEIGHT))
    assert sum(len(faces) for faces in found) > 10
    for image, faces in enumerate(found):
        expected = sorted(naive(outputs, image, 0.5), key=lambda face: -face[0])
        np.testing.assert_allclose(faces.scores, [face[0] for face in expected], rtol=1e-5)
        np.testing.assert_allclose(faces.boxes, [face[1] for face in expected], rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(faces.landmarks, [face[2] for face in expected], rtol=1e-4, atol=1e-3)


def test_a_score_at_the_bar_counts_and_values_out_of_range_are_clipped_first():
    rng = np.random.default_rng(3)
    outputs = yunet_outputs(rng, 1)
    for plane in outputs[:6]:
        plane[:] = rng.choice(np.float32([-1.5, 0.25, 0.81, 1, 1.5]), plane.shape)
    bar = float(np.sqrt(np.float32(0.81)))
    classes, objects = (np.concatenate([plane[0, :, 0] for plane in planes]) for planes in (outputs[:3], outputs[3:6]))
    expected = np.sqrt(np.clip(classes, 0, 1) * np.clip(objects, 0, 1)) >= bar
    (found,) = find_faces(outputs, DetectionRule(Decoding.YUNET, bar, 1.0), input_size=(WIDTH, HEIGHT))
    assert len(found) == expected.sum() > 0


@pytest.mark.parametrize(
    ("decoding", "make"), [(Decoding.YUNET, yunet_outputs), (Decoding.CENTERFACE, centerface_outputs)]
)
def test_nothing_confident_means_no_faces(decoding, make):
    outputs = make(np.random.default_rng(0), 2)
    rule = DetectionRule(decoding, min_score=2.0, max_overlap=0.3)
    assert [len(faces) for faces in find_faces(outputs, rule, input_size=(WIDTH, HEIGHT))] == [0, 0]
