"""Embeddings get the same answers whoever asks, all by one state of the gallery."""

from __future__ import annotations

import numpy as np
import pytest

from server.domain import GalleryName, Match, Unknown, UnknownReason
from server.errors import EmbeddingError
from server.identity.match import threshold_for
from server.pipeline.naming import RecognitionRule, name_faces
from server.vision.quality import Legibility
from tests.painted import DIMENSION, THRESHOLDS, PaintedFace, between, image, person, somebody
from tests.server.pipeline.parts import FAR, GALLERY, MARGIN, photo, request

RULE = RecognitionRule(THRESHOLDS, MARGIN, Legibility())


@pytest.fixture
def people(enroller):
    for name, number in (("Ada", 1), ("Bob", 2), ("Eve", 3)):
        enroller.enrol(request(name, photo(PaintedFace(person(number)))))


def named(galleries, *embeddings, gallery=GALLERY, far=FAR):
    rows = np.asarray(embeddings, np.float32).reshape(-1, DIMENSION)
    return name_faces(galleries, RULE, gallery, rows, far=far)


def naive_answer(embedding, enrolled, threshold):
    """The name of the nearest by a loop; None when it is too far."""
    distance, name = min((float(np.sum((np.asarray(embedding) - other) ** 2)), name) for name, other in enrolled)
    return name if distance <= threshold else None


def test_each_face_is_named_after_the_nearest_person_within_the_threshold(galleries, people):
    enrolled = [(name, np.asarray(person(number))) for name, number in (("Ada", 1), ("Bob", 2), ("Eve", 3))]
    probes = [between(1 + i % 3, 5 + i, 0.1 + 0.15 * i) for i in range(8)] + [somebody(i) for i in range(8)]
    answers = named(galleries, *probes).answers
    threshold = threshold_for(THRESHOLDS, FAR, 3)
    for probe, answer in zip(probes, answers, strict=True):
        expected = naive_answer(probe, enrolled, threshold)
        assert (answer.display_name if isinstance(answer, Match) else None) == expected


def test_the_threshold_is_the_one_for_as_many_comparisons_as_people_are_enrolled(galleries, people):
    (answer,) = named(galleries, person(1)).answers
    assert answer.threshold == pytest.approx(threshold_for(THRESHOLDS, FAR, 3))
    assert RULE.threshold(FAR, 0) == RULE.threshold(FAR, 1)


def test_answers_tell_the_revision_that_they_rest_on(galleries, enroller, people):
    before = named(galleries, person(7))
    assert before.revision == galleries.revision(GALLERY)
    enroller.enrol(request("Zoe", photo(PaintedFace(person(7)))))
    after = named(galleries, person(7))
    assert after.revision == galleries.revision(GALLERY) > before.revision
    assert isinstance(before.answers[0], Unknown)
    assert after.answers[0].display_name == "Zoe"


def test_in_an_empty_gallery_everybody_is_unknown(galleries, people):
    (answer,) = named(galleries, person(1), gallery=GalleryName(gallery="empty")).answers
    assert answer.reason is UnknownReason.GALLERY_EMPTY


def test_no_embeddings_get_no_answers(galleries, people):
    assert named(galleries).answers == ()


@pytest.mark.parametrize("bad", [np.zeros(DIMENSION), np.full(DIMENSION, np.nan), np.full(DIMENSION, 3.0)])
def test_what_is_no_unit_vector_is_refused(galleries, people, bad):
    with pytest.raises(EmbeddingError):
        named(galleries, bad)


def test_a_still_and_a_name_by_embedding_agree(galleries, recogniser, people):
    face = PaintedFace(between(2, 9, 0.4))
    (still,) = recogniser.recognise(image(face), GALLERY, far=FAR).recognised
    (answer,) = named(galleries, face.embedding).answers
    assert (still.answer.display_name, still.answer.threshold) == (answer.display_name, answer.threshold)
    assert still.answer.distance == pytest.approx(answer.distance, abs=0.03)
