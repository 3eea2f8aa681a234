"""A photograph against the gallery: the nearest people, whatever the threshold."""

from __future__ import annotations

import pytest

from server.domain import GalleryName, Match, Undecided, UndecidedReason, Unknown, UnknownReason
from server.pipeline.search import search_image
from tests.painted import PaintedFace, between, image, person
from tests.server.pipeline.parts import FAR, GALLERY, photo, request

DISTANCES = {"Ada": 0.2, "Bob": 0.9, "Cyd": 1.5}


@pytest.fixture
def people(enroller):
    """Three people at known distances from person 1."""
    for i, (name, distance) in enumerate(DISTANCES.items()):
        face = PaintedFace(between(1, 2 + i, distance))
        enroller.enrol(request(name, photo(face), allow_lookalikes=True))


def found_in(recogniser, *faces, limit=5, gallery=GALLERY):
    return search_image(recogniser, image(*faces), gallery, far=FAR, limit=limit)


def test_people_come_nearest_first_also_those_who_are_too_far(recogniser, people):
    found = found_in(recogniser, PaintedFace(person(1)))
    (candidates,) = found.candidates
    assert [candidate.display_name for candidate in candidates] == list(DISTANCES)
    for candidate in candidates:
        assert candidate.distance == pytest.approx(DISTANCES[candidate.display_name], abs=0.03)
    assert found.revision == 3


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_as_many_people_are_listed_as_were_asked_for(recogniser, people, limit):
    assert len(found_in(recogniser, PaintedFace(person(1)), limit=limit).candidates[0]) == min(limit, 3)


def test_the_answer_is_the_one_that_recognition_gives_even_when_one_person_is_listed(recogniser, people):
    face = PaintedFace(person(1))
    found = found_in(recogniser, face, limit=1)
    (answer,) = found.answers
    recognised = recogniser.recognise(image(face), GALLERY, far=FAR).recognised[0].answer
    assert isinstance(answer, Match)
    assert (answer.identity, answer.threshold) == (recognised.identity, recognised.threshold)
    assert answer.margin == pytest.approx(recognised.margin, abs=0.01)
    assert found.threshold == answer.threshold


def test_a_face_that_recognition_leaves_undecided_is_left_undecided_and_has_its_list(recogniser, people):
    tiny = PaintedFace(person(1), side=12)
    found = found_in(recogniser, tiny)
    recognised = recogniser.recognise(image(tiny), GALLERY, far=FAR).recognised[0].answer
    assert found.answers == (recognised,) == (Undecided(UndecidedReason.LOW_QUALITY),)
    assert len(found.candidates[0]) == 3


def test_every_face_has_its_own_list(recogniser, people):
    faces = (PaintedFace(person(9), side=64, x=50, y=50), PaintedFace(between(1, 2, 0.2), side=48, x=140, y=140))
    found = found_in(recogniser, *faces)
    assert [candidates[0].display_name for candidates in found.candidates][1] == "Ada"
    assert [type(answer) for answer in found.answers] == [Unknown, Match]
    assert len(found.analysis.qualities) == 2


def test_nobody_is_listed_from_an_empty_gallery(recogniser, people):
    found = found_in(recogniser, PaintedFace(person(1)), gallery=GalleryName(gallery="empty"))
    assert found.candidates == ((),)
    assert found.answers[0].reason is UnknownReason.GALLERY_EMPTY


def test_a_picture_without_faces_has_no_lists(recogniser, people):
    assert found_in(recogniser).candidates == ()
