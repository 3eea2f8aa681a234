"""Only a backend that answers what the reference answers passes, and only when the probes can tell."""

from __future__ import annotations

import re
from itertools import product

import numpy as np
import pytest

from server.domain import Faces
from server.errors import InferenceError
from server.inference import parity
from server.inference.backend import FakeBackend
from server.inference.parity import (
    LEAST_COSINE,
    MOST_FACES,
    MOST_SCORE,
    DetectorGate,
    EmbedderGate,
    answers,
    judge,
    overlaps,
)
from server.inference.precision import Precision

EXACT = Precision.FLOAT32
CROPS = np.random.default_rng(0).normal(0, 1, (6, 3, 8, 8)).astype(np.float32)


def flat(batch):
    return (batch.reshape(len(batch), -1),)


def turned(cosine):
    """Embeddings that lie at this cosine from `flat`'s."""

    def run(batch):
        vectors = flat(batch)[0]
        side = np.random.default_rng(1).normal(0, 1, vectors.shape)
        side -= vectors * (side * vectors).sum(1, keepdims=True) / (vectors**2).sum(1, keepdims=True)
        side *= np.linalg.norm(vectors, axis=1, keepdims=True) / np.linalg.norm(side, axis=1, keepdims=True)
        return (np.asarray(cosine * vectors + np.sqrt(1 - cosine**2) * side, np.float32),)

    return run


def verdict(gate, reference, candidate, precision=EXACT):
    return judge(gate, answers(gate, FakeBackend(reference)), FakeBackend(candidate), precision)


def test_an_embedder_that_answers_the_same_passes():
    assert verdict(EmbedderGate((CROPS,)), flat, flat).passed


def test_only_the_direction_of_an_embedding_counts():
    assert verdict(EmbedderGate((CROPS,)), flat, lambda batch: (7 * flat(batch)[0],)).passed


@pytest.mark.parametrize("precision", list(Precision), ids=lambda precision: precision.value)
def test_the_least_cosine_is_that_of_the_precision(precision):
    least = LEAST_COSINE[precision]
    gate = EmbedderGate((CROPS,))
    assert verdict(gate, flat, turned(least + 2e-5), precision).passed
    assert not verdict(gate, flat, turned(least - 2e-5), precision).passed


def test_the_thresholds_are_those_that_were_agreed():
    assert dict(LEAST_COSINE) == {
        Precision.FLOAT32: 0.9999,
        Precision.FLOAT16: 0.999,
        Precision.BFLOAT16: 0.997,
        Precision.INT8: 0.98,
    }


def test_one_wrong_embedding_among_many_is_enough():
    def one_wrong(batch):
        vectors = flat(batch)[0].copy()
        vectors[-1] *= -1
        return (vectors,)

    found = verdict(EmbedderGate((CROPS,)), flat, one_wrong)
    assert not found.passed
    assert "-1.00000" in found.finding


def test_every_batch_of_probes_counts():
    def wrong_alone(batch):
        return (-flat(batch)[0],) if len(batch) == 1 else flat(batch)

    assert not verdict(EmbedderGate((CROPS, CROPS[:1])), flat, wrong_alone).passed


def test_a_finding_names_the_shape_that_was_worst():
    def wrong_alone(batch):
        return turned(0.9)(batch) if len(batch) == 1 else turned(0.99)(batch)

    gate = EmbedderGate((CROPS, CROPS[:1], CROPS[:2]))
    found = verdict(gate, flat, wrong_alone)
    assert not found.passed
    assert re.match(r"least cosine 0\.(90000|89999) at 8x8 alone, at least 0\.9999; 9 crops in 3 shapes", found.finding)


def test_probes_that_look_alike_to_the_reference_prove_nothing():
    same = np.repeat(CROPS[:1], 6, axis=0)
    found = verdict(EmbedderGate((same,)), flat, flat)
    assert not found.passed
    assert "too little to tell" in found.finding


def test_a_candidate_that_fails_does_not_pass_and_says_why():
    gate = EmbedderGate((CROPS,))
    broken = FakeBackend(flat, failure=RuntimeError("no kernel"))
    found = judge(gate, answers(gate, FakeBackend(flat)), broken, EXACT)
    assert not found.passed
    assert "no kernel" in found.finding


def test_a_candidate_that_answers_nan_does_not_pass():
    assert not verdict(EmbedderGate((CROPS,)), flat, lambda batch: (flat(batch)[0] * np.float32("nan"),)).passed


def test_a_reference_that_fails_is_an_error():
    gate = EmbedderGate((CROPS,))
    with pytest.raises(InferenceError):
        answers(gate, FakeBackend(flat, failure=RuntimeError("no kernel")))


@pytest.mark.parametrize("precision", list(Precision), ids=lambda precision: precision.value)
def test_whoever_asks_may_stop_between_probes(precision):
    asked = []

    def go_on():
        asked.append(precision)
        if len(asked) == 2:
            raise KeyboardInterrupt

    gate = EmbedderGate((CROPS, CROPS[:1], CROPS[:2]))
    run = []
    with pytest.raises(KeyboardInterrupt):
        judge(gate, [], FakeBackend(lambda batch: run.append(len(batch)) or flat(batch)), precision, go_on)
    assert run == [4, 2]  # the first probe's six, in two lengths


# ---- detectors

FRAME = np.zeros((1, 3, 64, 96), np.float32)
UPRIGHT = np.zeros((2, 3, 96, 64), np.float32)
BOXES = [(10, 10, 50, 60), (60, 20, 80, 44)]


def faces(boxes=BOXES, scores=None, shift=0.0):
    array = np.asarray(boxes, np.float32).reshape(-1, 4)
    landmarks = np.repeat(array[:, None, :2] + 9, 5, axis=1) + np.float32(shift)
    return Faces(array, landmarks.astype(np.float32), np.asarray(scores or [0.9] * len(array), np.float32))


def numbered(number):
    """A network whose outputs are its number."""
    return FakeBackend(lambda batch: (np.full((len(batch), 1), number, np.float32),))


def compared(wanted, found, *, proposed=None, precision=EXACT):
    """The verdict when reference and candidate find these faces, and propose those."""

    def reading(known):
        return lambda outputs, size: [known[int(outputs[0][0, 0])]]

    propose = None if proposed is None else reading(proposed)
    gate = DetectorGate((FRAME,), reading([wanted, found]), min_score=0.5, propose=propose, max_overlap=0.3)
    return judge(gate, answers(gate, numbered(0)), numbered(1), precision)


def compared_in_two_shapes(seen):
    """The verdict when `seen(network, size, i)` are the faces of picture i: the reference is network 0."""
    gate = DetectorGate(
        (FRAME, UPRIGHT),
        lambda outputs, size: [seen(int(outputs[0][0, 0]), size, i) for i in range(len(outputs[0]))],
        min_score=0.5,
    )
    return judge(gate, answers(gate, numbered(0)), numbered(1), EXACT)


def test_a_detector_that_finds_the_same_faces_passes():
    assert compared(faces(), faces()).passed


def test_the_order_of_the_faces_does_not_matter():
    assert compared(faces(), faces(BOXES[::-1])).passed


def test_what_is_read_gets_the_width_and_height_of_the_input():
    sizes = []

    def read(outputs, size):
        sizes.append(size)
        return [faces()]

    gate = DetectorGate((FRAME,), read, min_score=0.5)
    assert verdict(gate, flat, flat).passed
    assert set(sizes) == {(96, 64)}


@pytest.mark.parametrize(
    ("found", "passed"),
    [
        pytest.param(faces([(10, 10, 50, 62), BOXES[1]]), True, id="a box that is a little taller: IoU 0.96"),
        pytest.param(faces([(10, 10, 50, 63), BOXES[1]]), False, id="a box that is taller: IoU 0.94"),
        pytest.param(faces(BOXES[:1]), False, id="a face less"),
        pytest.param(faces([*BOXES, (0, 0, 9, 9)]), False, id="a face more"),
        pytest.param(faces([*BOXES, (0, 0, 9, 9)], [0.9, 0.9, 0.51]), True, id="a face more that is hardly one"),
        pytest.param(faces([]), False, id="no face"),
        pytest.param(faces(shift=0.12), True, id="landmarks that move by less than a hundredth of the smaller face"),
        pytest.param(faces(shift=0.3), False, id="landmarks that move by more"),
    ],
)
def test_boxes_and_landmarks_must_agree(found, passed):
    assert compared(faces(), found).passed is passed


def test_a_face_that_is_hardly_one_may_be_missed():
    assert compared(faces(scores=[0.9, 0.51]), faces(BOXES[:1])).passed


@pytest.mark.parametrize("nothing", [faces([]), faces(scores=[0.51, 0.51])])
def test_a_picture_in_which_the_reference_is_sure_of_nobody_proves_nothing(nothing):
    found = compared(nothing, nothing)
    assert not found.passed
    assert "no face" in found.finding


def test_a_shape_without_a_face_does_not_pass_and_is_named():
    found = compared_in_two_shapes(lambda _network, size, i: faces([]) if size == (64, 96) and i == 1 else faces())
    assert not found.passed
    assert found.finding == "the reference is sure of no face in 1 of 2 probes, first at 64x96 in a batch of 2"


@pytest.mark.parametrize("wrong", [(96, 64), (64, 96)])
def test_a_candidate_that_is_wrong_in_one_shape_does_not_pass_and_the_shape_is_named(wrong):
    taller = faces([(10, 10, 50, 63), BOXES[1]])
    found = compared_in_two_shapes(lambda network, size, _i: taller if network and size == wrong else faces())
    assert not found.passed
    where = "at 96x64 alone" if wrong == (96, 64) else "at 64x96 in a batch of 2"
    assert f"least IoU 0.94339 {where}, at least 0.95" in found.finding


def test_a_landmark_that_moves_in_one_shape_is_named():
    found = compared_in_two_shapes(lambda network, size, _i: faces(shift=0.3 if network and size[0] == 64 else 0))
    assert not found.passed
    assert "least IoU 1.00000 at 96x64 alone" in found.finding
    assert "landmarks within 0.018 of a face at 64x96 in a batch of 2, at most 0.01" in found.finding


OTHER = (10, 10, 50, 63)
"""A box whose IoU with the first face's is 0.94."""


@pytest.mark.parametrize(
    ("score", "passed"),
    [
        pytest.param(0.899, True, id="which of the two is kept is a matter of rounding"),
        pytest.param(0.88, False, id="the reference prefers its own clearly"),
    ],
)
def test_a_tied_box_that_the_other_side_proposes_as_well_may_be_kept(score, passed):
    proposed = [faces([*BOXES, OTHER], [0.9, 0.9, score]), faces([*BOXES, OTHER], [0.899, 0.9, 0.9])]
    assert compared(faces(), faces([OTHER, BOXES[1]]), proposed=proposed).passed is passed


def test_a_tied_box_that_the_reference_does_not_propose_is_another_face():
    proposed = [faces(), faces([*BOXES, OTHER], [0.899, 0.9, 0.9])]
    assert not compared(faces(), faces([OTHER, BOXES[1]]), proposed=proposed).passed


@pytest.mark.parametrize(
    ("shift", "passed"),
    [
        pytest.param(0.0, True, id="which of the two is kept is a matter of rounding"),
        pytest.param(3.0, False, id="the one that the candidate keeps has wrong landmarks"),
    ],
)
def test_a_tied_box_that_the_candidate_keeps_must_be_right_too(shift, passed):
    boxes, scores = [*BOXES, OTHER], [0.9, 0.9, 0.899]
    moved = faces(boxes, [0.899, 0.9, 0.9])
    moved.landmarks[2] += np.float32(shift)
    kept = moved.take(np.asarray([2, 1]))
    assert compared(faces(), kept, proposed=[faces(boxes, scores), moved]).passed is passed


def test_of_two_boxes_that_are_almost_the_same_the_one_with_the_same_landmarks_is_the_partner():
    near = (10, 10, 50, 60.5)
    both = faces([BOXES[0], near, BOXES[1]], [0.9, 0.899, 0.9])
    both.landmarks[1] += np.float32(3)
    moved = faces([near, BOXES[0], BOXES[1]], [0.899, 0.9, 0.9])  # as if rounding had swapped the boxes
    moved.landmarks[1] += np.float32(3)
    kept = both.take(np.asarray([0, 2]))
    assert compared(kept, moved.take(np.asarray([0, 2])), proposed=[both, moved]).passed


def test_a_box_that_the_face_would_not_have_suppressed_is_not_tied_with_it():
    neighbour = (45, 10, 85, 60)  # of the first face it covers an eighth
    proposed = [faces([*BOXES, neighbour], [0.9, 0.9, 0.899])] * 2
    assert not compared(faces(), faces([neighbour, *BOXES]), proposed=proposed).passed


@pytest.mark.parametrize("precision", list(Precision), ids=lambda precision: precision.value)
@pytest.mark.parametrize("sign", [1, -1], ids=["more", "less"])
def test_the_slack_for_scores_is_that_of_the_precision(precision, sign):
    def of_score(off):
        return compared(faces(), faces(scores=[0.9, 0.9 + sign * off]), precision=precision)

    most = MOST_SCORE[precision]
    assert of_score(most - 0.002).passed
    refused = of_score(most + 0.002)
    assert not refused.passed
    assert f"scores within {most + 0.002:.2g} at 96x64 alone, at most {most}" in refused.finding


def test_a_score_is_compared_with_that_of_the_same_box_where_two_are_tied():
    boxes = [*BOXES, OTHER]
    proposed = [faces(boxes, [0.9, 0.9, 0.895]), faces(boxes, [0.885, 0.9, 0.894])]
    kept = faces([OTHER, BOXES[1]], [0.894, 0.9])
    found = compared(faces(), kept, proposed=proposed)
    assert found.passed
    assert "scores within 0.015 at" in found.finding


def test_a_score_that_is_no_number_does_not_pass():
    assert not compared(faces(), faces(scores=[0.9, float("nan")])).passed


CROWD = faces([(i, 0, i + 0.5, 0.5) for i in range(MOST_FACES + 1)])


@pytest.mark.parametrize("who", ["the reference", "the candidate"])
def test_who_finds_faces_everywhere_is_refused_before_they_are_compared(who, monkeypatch):
    proposed = []
    gate = DetectorGate(
        (FRAME, FRAME),
        lambda outputs, size: [CROWD if outputs[0][0, 0] == ["the reference", "the candidate"].index(who) else faces()],
        min_score=0.5,
        propose=lambda outputs, size: proposed.append(outputs[0][0, 0]) or [faces()],
    )
    seen = []
    monkeypatch.setattr(parity, "_paired", lambda *_: pytest.fail("compared"))
    monkeypatch.setattr(parity, "overlaps", lambda *both: seen.append(both) or overlaps(*both))
    found = judge(gate, answers(gate, numbered(0)), numbered(1), EXACT)
    assert not found.passed
    assert found.finding == f"{who} finds 1501 faces in one picture at 96x64 alone, where 1500 are too many"
    assert all(len(one) <= 4 and len(other) <= 4 for one, other in seen)
    assert proposed == ([] if who == "the reference" else [0])


def test_who_proposes_boxes_everywhere_is_refused_before_they_are_compared():
    found = compared(faces(), faces(), proposed=[faces(), CROWD])
    assert not found.passed
    assert found.finding.startswith("the candidate finds 1501 faces in one picture")


def test_overlaps_are_those_of_counted_pixels():
    draw = np.random.default_rng(3)
    corners = draw.integers(0, 12, (2, 8, 2, 2))
    one, other = (np.concatenate([part.min(1), part.max(1) + 1], axis=1).astype(np.float32) for part in corners)
    found = overlaps(one, other)
    for i, j in product(range(8), range(8)):
        grids = []
        for left, top, right, bottom in (one[i].astype(int), other[j].astype(int)):
            grid = np.zeros((16, 16), bool)
            grid[top:bottom, left:right] = True
            grids.append(grid)
        assert found[i, j] == pytest.approx((grids[0] & grids[1]).sum() / (grids[0] | grids[1]).sum())
