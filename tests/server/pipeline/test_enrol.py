"""A photograph becomes a template, or is refused for the first thing that is wrong with it."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain import Codec, EncodedImage, Faces, Quality
from server.identity.records import NewTemplate
from server.pipeline.enrol import (
    EnrolmentRule,
    JudgedPhoto,
    Photo,
    Refusal,
    find_weakness,
    judge,
    refuse_inconsistent,
    without_bystanders,
)
from tests.painted import PaintedFace, between, person
from tests.server.pipeline.parts import LIMITS, photo

ADA = PaintedFace(person(1))
GOOD = Quality(
    score=1, size_px=100, sharpness=20, yaw_deg=0, pitch_deg=0, roll_deg=0, brightness=128, detection_score=0.9
)
RULE = EnrolmentRule()


@pytest.fixture
def judged(loaded):
    def judge_it(one, rule=RULE):
        return judge(one, loaded.vision, rule, LIMITS)

    return judge_it


# ---- one photograph


def test_a_good_photograph_becomes_a_template(judged):
    good = photo(ADA)
    outcome = judged(good)
    assert (outcome.refusal, outcome.message, outcome.source) == (None, "", "photo.png")
    assert np.sum((outcome.template.embedding - np.asarray(person(1))) ** 2) < 0.01
    assert outcome.template.photo_digest == hashlib.sha256(good.image.data).hexdigest()
    assert outcome.template.quality == outcome.quality


def test_a_template_keeps_the_crop_that_was_embedded(judged, loaded):
    outcome = judged(photo(ADA))
    crop = cv2.imdecode(np.frombuffer(outcome.template.crop, np.uint8), cv2.IMREAD_COLOR)
    (embedding,) = loaded.vision.embedder.embed(crop[None], mirrored=True)
    assert np.sum((embedding - outcome.template.embedding) ** 2) < 0.05


def test_crops_are_kept_only_when_they_are_wanted(judged):
    assert judged(photo(ADA), replace(RULE, store_crops=False)).template.crop == b""


@pytest.mark.parametrize(
    ("weak", "refusal"),
    [
        (photo(), Refusal.NO_FACE),
        (photo(replace(ADA, x=50, y=50), replace(ADA, x=140, y=140)), Refusal.MULTIPLE_FACES),
        (photo(replace(ADA, side=40)), Refusal.TOO_SMALL),
        (photo(replace(ADA, score=0.55)), Refusal.UNCERTAIN_FACE),
        (photo(replace(ADA, brightness=15, contrast=14)), Refusal.BADLY_LIT),
        (photo(replace(ADA, brightness=245, contrast=9)), Refusal.BADLY_LIT),
        (photo(replace(ADA, side=180, score=0.65, brightness=102, contrast=1)), Refusal.TOO_BLURRED),
        (Photo("x", EncodedImage(Codec.UNSPECIFIED, b"junk")), Refusal.UNREADABLE),
        (Photo("x", EncodedImage(Codec.PNG, b"")), Refusal.UNREADABLE),
    ],
)
def test_a_weak_photograph_is_refused_with_its_reason_in_words(judged, weak, refusal):
    outcome = judged(weak)
    assert outcome.refusal is refusal
    assert outcome.message
    assert outcome.template is None
    one_face = refusal not in (Refusal.NO_FACE, Refusal.MULTIPLE_FACES, Refusal.UNREADABLE)
    assert (outcome.quality is not None) == one_face


def test_a_small_face_in_the_background_does_not_count(judged):
    bystander = PaintedFace(person(2), side=16, x=16, y=16)
    outcome = judged(photo(ADA, bystander))
    assert outcome.refusal is None
    assert np.sum((outcome.template.embedding - np.asarray(person(1))) ** 2) < 0.01


@given(st.lists(st.floats(1, 500), max_size=6), st.floats(0.1, 0.9))
def test_bystanders_are_those_much_smaller_than_the_largest(sides, ratio):
    sides = sorted(sides, reverse=True)
    boxes = np.asarray([[0, 0, side, side] for side in sides], np.float32).reshape(-1, 4)
    faces = Faces(boxes, np.zeros((len(sides), 5, 2), np.float32), np.ones(len(sides), np.float32))
    kept = [side for side in sides if np.float32(side) >= ratio * np.float32(sides[0])]
    np.testing.assert_allclose(without_bystanders(faces, ratio).boxes[:, 2], kept, rtol=1e-6)


# ---- the rule


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({}, None),
        ({"detection_score": 0.59}, Refusal.UNCERTAIN_FACE),
        ({"size_px": 47.9}, Refusal.TOO_SMALL),
        ({"yaw_deg": -61}, Refusal.TURNED_AWAY),
        ({"pitch_deg": 61}, Refusal.TURNED_AWAY),
        ({"roll_deg": 170}, None),
        ({"brightness": 29}, Refusal.BADLY_LIT),
        ({"brightness": 236}, Refusal.BADLY_LIT),
        ({"sharpness": 3.9}, Refusal.TOO_BLURRED),
        ({"size_px": 48, "sharpness": 4, "yaw_deg": 60, "brightness": 30, "detection_score": 0.6}, None),
        ({"size_px": 10, "sharpness": 0, "detection_score": 0.1}, Refusal.UNCERTAIN_FACE),
    ],
)
def test_the_first_weakness_counts_and_the_bounds_themselves_are_allowed(change, refusal):
    weakness = find_weakness(replace(GOOD, **change), RULE)
    assert (weakness and weakness[0]) == refusal


def test_a_refusal_says_what_was_seen_and_what_is_wanted():
    _, message = find_weakness(replace(GOOD, size_px=20), RULE)
    assert "20 pixels" in message
    assert "48" in message


# ---- several photographs together


def judged_with(embedding, source):
    template = NewTemplate(np.asarray(embedding, np.float32), GOOD, source)
    return JudgedPhoto(source, GOOD, None, "", template)


REFUSED = JudgedPhoto("refused", None, Refusal.NO_FACE, "no face", None)


def test_whoever_stands_apart_from_the_others_is_refused():
    photos = [
        judged_with(person(1), "a"),
        judged_with(person(9), "stranger"),
        REFUSED,
        judged_with(between(1, 3, 0.4), "b"),
    ]
    outcome = refuse_inconsistent(photos, 1.0)
    assert [one.refusal for one in outcome] == [None, Refusal.INCONSISTENT, Refusal.NO_FACE, None]
    assert outcome[1].template is None
    assert "2.00" in outcome[1].message


def test_a_single_photograph_agrees_with_itself():
    photos = [judged_with(person(1), "a"), REFUSED]
    assert refuse_inconsistent(photos, 0.1) == photos


@given(st.integers(0, 2**32), st.integers(2, 7), st.floats(0.5, 2.5))
def test_photographs_are_held_against_the_one_that_is_nearest_to_all(seed, count, threshold):
    vectors = np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    distances = [[float(np.sum((a - b) ** 2)) for b in vectors] for a in vectors]
    medoid = min(range(count), key=lambda i: sum(distances[i]))
    outcome = refuse_inconsistent([judged_with(vector, str(i)) for i, vector in enumerate(vectors)], threshold)
    for i, one in enumerate(outcome):
        if abs(distances[medoid][i] - threshold) > 1e-4:
            assert (one.refusal is Refusal.INCONSISTENT) == (distances[medoid][i] > threshold)
