"""One image: each face is named, unknown or left undecided, for a reason that holds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from server.domain import (
    Codec,
    EncodedImage,
    GalleryName,
    IdentityName,
    Match,
    Undecided,
    UndecidedReason,
    Unknown,
    UnknownReason,
)
from server.errors import ImageError
from server.identity.match import threshold_for
from server.vision.quality import Legibility
from tests.painted import PaintedFace, between, image, person
from tests.server.pipeline.parts import FAR, GALLERY, MARGIN, photo, request

ADA = PaintedFace(person(1), x=60, y=60)
STAGES = {"decode", "detect", "align", "embed", "match"}


def answers(recogniser, *faces, far=FAR, gallery=GALLERY):
    return [face.answer for face in recogniser.recognise(image(*faces), gallery, far=far).recognised]


@pytest.fixture
def people(enroller):
    """Ada and Bob, who is a little like Eve."""
    for name, embedding in (("Ada", person(1)), ("Bob", person(2)), ("Eve", between(2, 3, 0.5))):
        enroller.enrol(request(name, photo(PaintedFace(embedding)), allow_lookalikes=True))


def test_an_enrolled_person_is_named_with_distance_threshold_and_margin(recogniser, people):
    (match,) = answers(recogniser, PaintedFace(between(1, 5, 0.3)))
    assert isinstance(match, Match)
    assert match.display_name == "Ada"
    assert abs(match.distance - 0.3) < 0.03
    assert match.threshold == pytest.approx(threshold_for(recogniser.rule.operating_points, FAR, 3))
    # Bob is 2 - 2 * cos away: the probe shares nothing with him
    assert abs(match.margin - 1.7) < 0.05


def test_a_stranger_is_unknown_however_near_the_nearest_is(recogniser, people):
    (unknown,) = answers(recogniser, PaintedFace(between(1, 5, 0.95)))
    assert isinstance(unknown, Unknown)
    assert unknown.reason is UnknownReason.TOO_FAR
    assert abs(unknown.distance - 0.95) < 0.03
    assert unknown.distance > unknown.threshold


def test_between_two_people_who_are_equally_near_none_is_named(recogniser, people):
    middle = np.asarray(person(2)) + np.asarray(between(2, 3, 0.5))
    (unknown,) = answers(recogniser, PaintedFace(tuple((middle / np.linalg.norm(middle)).tolist())))
    assert unknown.reason is UnknownReason.AMBIGUOUS


def test_in_an_empty_gallery_everybody_is_unknown(recogniser, people):
    (unknown,) = answers(recogniser, ADA, gallery=GalleryName(gallery="empty"))
    assert (unknown.reason, unknown.distance) == (UnknownReason.GALLERY_EMPTY, None)


def test_a_stricter_rate_names_fewer(recogniser, people):
    face = PaintedFace(between(1, 5, 0.6))
    assert isinstance(answers(recogniser, face, far=0.01)[0], Match)
    assert isinstance(answers(recogniser, face, far=1e-5)[0], Unknown)


def test_the_threshold_tightens_as_the_gallery_grows(recogniser, enroller, people):
    before = answers(recogniser, ADA)[0].threshold
    for number in range(10, 20):
        enroller.enrol(request(f"person {number}", photo(PaintedFace(person(number)))))
    after = answers(recogniser, ADA)[0].threshold
    assert after < before
    assert after == pytest.approx(threshold_for(recogniser.rule.operating_points, FAR, 13))


def test_faces_that_cannot_be_read_are_undecided_and_not_embedded(recogniser, loaded, people):
    tiny = PaintedFace(person(1), side=12, x=150, y=150)
    named, undecided = answers(recogniser, ADA, tiny)
    assert isinstance(named, Match)
    assert undecided == Undecided(UndecidedReason.LOW_QUALITY)


def test_each_face_keeps_its_own_answer_whatever_stands_between(recogniser, people):
    faces = (
        PaintedFace(person(2), side=80, x=46, y=46),
        PaintedFace(person(1), side=14, x=140, y=20),
        PaintedFace(person(7), side=64, x=150, y=60),
        PaintedFace(person(1), side=48, x=50, y=150),
    )
    found = recogniser.recognise(image(*faces), GALLERY, far=FAR)
    kinds = [
        answer.display_name if isinstance(answer, Match) else type(answer)
        for answer in (f.answer for f in found.recognised)
    ]
    assert [face.quality.size_px for face in found.recognised] == [80, 64, 48, 14]
    assert kinds == ["Bob", Unknown, "Ada", Undecided]
    np.testing.assert_allclose(found.faces.boxes[:, 2] - found.faces.boxes[:, 0], [80, 64, 48, 14])


def test_a_deleted_person_is_unknown_at_once(recogniser, galleries, people):
    name = answers(recogniser, ADA)[0].identity
    galleries.delete(IdentityName.parse(name), at_ns=9)
    assert isinstance(answers(recogniser, ADA)[0], Unknown)


def test_a_picture_without_faces_is_answered_with_none(recogniser, people):
    found = recogniser.recognise(image(), GALLERY, far=FAR)
    assert (found.recognised, len(found.faces)) == ((), 0)
    assert (found.width, found.height) == (192, 192)
    assert found.gallery_revision == 3


def test_the_time_of_every_stage_is_booked(recogniser):
    found = recogniser.recognise(image(ADA), GALLERY, far=FAR)
    assert found.spent_ns == dict.fromkeys(STAGES, 1)


def test_what_is_no_image_is_an_image_error(recogniser):
    with pytest.raises(ImageError):
        recogniser.recognise(EncodedImage(Codec.JPEG, b"junk"), GALLERY, far=FAR)


def test_what_counts_as_legible_can_be_set(recogniser, people):
    strict = replace(recogniser, rule=replace(recogniser.rule, legibility=Legibility(min_size_px=70)))
    assert isinstance(answers(strict, ADA)[0], Undecided)


def test_the_margin_that_is_wanted_can_be_set(recogniser, people):
    near = between(2, 3, 0.05)
    assert isinstance(answers(recogniser, PaintedFace(near))[0], Match)
    wide = replace(recogniser, rule=replace(recogniser.rule, min_margin=MARGIN + 1))
    assert answers(wide, PaintedFace(near))[0].reason is UnknownReason.AMBIGUOUS


def test_many_threads_get_the_answers_that_one_would_get(recogniser, people):
    pictures = [image(PaintedFace(person(number))) for number in range(8)] * 5
    alone = [recogniser.recognise(one, GALLERY, far=FAR).recognised[0].answer for one in pictures]
    with ThreadPoolExecutor(6) as pool:
        together = list(
            pool.map(lambda one: recogniser.recognise(one, GALLERY, far=FAR).recognised[0].answer, pictures)
        )
    for expected, answer in zip(alone, together, strict=True):
        assert type(answer) is type(expected)
        assert answer.distance == pytest.approx(expected.distance, abs=1e-5)
