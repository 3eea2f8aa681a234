"""A request to enrol is done once, for the photographs that can be used, and never mixes people up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from server.domain import Codec, EncodedImage, GalleryName, IdentityName
from server.errors import ConflictError, EnrolmentError, NotFoundError
from server.pipeline.enrol import Photo, Refusal
from tests.painted import PaintedFace, between, person
from tests.server.pipeline.parts import GALLERY, photo, request

ADA, BOB = PaintedFace(person(1)), PaintedFace(person(2))
ID = "0190b6f2-1111-4222-8333-444444444444"
JUNK = Photo("junk.jpg", EncodedImage(Codec.UNSPECIFIED, b"junk"))


def looks(number, contrast):
    """Another photograph of the same person."""
    return photo(PaintedFace(person(number), contrast=contrast), source=f"{contrast}.png")


def test_a_new_person_has_a_template_for_each_usable_photograph(enroller, galleries):
    enrolled = enroller.enrol(request("Ada", photo(ADA), JUNK, looks(1, 50)))
    assert [one.refusal for one in enrolled.photos] == [None, Refusal.UNREADABLE, None]
    assert enrolled.receipt.identity.template_count == 2
    details = galleries.get(IdentityName.parse(enrolled.receipt.identity.name))
    assert [template.source for template in details.templates] == ["photo.png", "50.png"]
    assert details.identity.created_at_ns == 5


def test_photographs_are_added_to_a_person_who_is_there(enroller):
    name = enroller.enrol(request("Ada", photo(ADA))).receipt.identity.name
    added = enroller.enrol(request("", looks(1, 50), identity=IdentityName.parse(name)))
    assert (added.receipt.identity.name, added.receipt.identity.template_count) == (name, 2)


def test_when_no_photograph_can_be_used_nothing_is_written_and_each_reason_is_given(enroller, galleries):
    with pytest.raises(EnrolmentError) as refused:
        enroller.enrol(request("Ada", JUNK, photo()))
    assert refused.value.reason == "NO_USABLE_PHOTO"
    assert refused.value.metadata == {"photo_0": "UNREADABLE", "photo_1": "NO_FACE"}
    assert "junk.jpg" in refused.value.message
    assert galleries.statistics(GALLERY).revision == 0


def test_a_picture_is_enrolled_once_in_a_gallery_whoever_it_is_called(enroller):
    enroller.enrol(request("Ada", photo(ADA)))
    for again in (request("Ada", photo(ADA)), request("Eve", photo(ADA), allow_lookalikes=True)):
        with pytest.raises(EnrolmentError, match="'Ada'") as refused:
            enroller.enrol(again)
        assert refused.value.metadata == {"photo_0": "DUPLICATE"}
    enroller.enrol(request("Ada", photo(ADA), gallery=GalleryName(gallery="other")))


def test_the_same_picture_twice_in_a_request_counts_once(enroller):
    enrolled = enroller.enrol(request("Ada", photo(ADA, source="a"), photo(ADA, source="b")))
    assert [one.refusal for one in enrolled.photos] == [None, Refusal.DUPLICATE]
    assert "'a'" in enrolled.photos[1].message


def test_somebody_who_would_be_taken_for_another_person_is_refused_unless_it_is_meant(enroller):
    enroller.enrol(request("Ada", photo(ADA)))
    twin = photo(PaintedFace(between(1, 3, 0.2)))
    with pytest.raises(EnrolmentError, match="'Ada'") as refused:
        enroller.enrol(request("Eve", twin))
    assert refused.value.metadata == {"photo_0": "SOMEBODY_ELSE"}
    assert enroller.enrol(request("Eve", twin, allow_lookalikes=True)).receipt.identity.display_name == "Eve"


def test_more_photographs_of_a_person_are_not_somebody_else(enroller):
    name = enroller.enrol(request("Ada", photo(ADA))).receipt.identity.name
    near = photo(PaintedFace(between(1, 3, 0.2)))
    added = enroller.enrol(request("", near, identity=IdentityName.parse(name)))
    assert added.photos[0].refusal is None


def test_photographs_added_to_the_wrong_person_are_refused(enroller):
    enroller.enrol(request("Ada", photo(ADA)))
    bob = enroller.enrol(request("Bob", photo(BOB))).receipt.identity.name
    with pytest.raises(EnrolmentError) as refused:
        enroller.enrol(request("", looks(1, 50), identity=IdentityName.parse(bob)))
    assert refused.value.metadata == {"photo_0": "SOMEBODY_ELSE"}


def test_photographs_of_two_people_in_a_request_are_told_apart(enroller):
    enrolled = enroller.enrol(request("Ada", photo(ADA), looks(1, 50), photo(BOB)))
    assert [one.refusal for one in enrolled.photos] == [None, None, Refusal.INCONSISTENT]


def test_somebody_who_is_not_there_gets_no_photographs(enroller):
    with pytest.raises(NotFoundError):
        enroller.enrol(request("", photo(ADA), identity=IdentityName(GALLERY, "nobody")))


# ---- repeating


def test_a_repeated_request_gets_the_first_answer_and_changes_nothing(enroller, galleries):
    wanted = request("Ada", photo(ADA), JUNK, request_id=ID)
    first, second = enroller.enrol(wanted), enroller.enrol(wanted)
    assert second.receipt.identity == first.receipt.identity
    assert second.receipt.revision == first.receipt.revision
    for before, after in zip(first.photos, second.photos, strict=True):
        assert (after.source, after.refusal, after.message) == (before.source, before.refusal, before.message)
        assert after.quality == before.quality
    assert galleries.statistics(GALLERY).identity_count == 1


@pytest.mark.parametrize(
    "other",
    [
        request("Eve", photo(ADA), request_id=ID),
        request("Ada", photo(BOB), request_id=ID),
        request("Ada", photo(ADA, source="other.png"), request_id=ID),
        request("Ada", photo(ADA), request_id=ID, allow_lookalikes=True),
        request("Ada", photo(ADA), request_id=ID, gallery=GalleryName(gallery="other")),
    ],
)
def test_a_request_id_stands_for_one_request(enroller, other):
    enroller.enrol(request("Ada", photo(ADA), request_id=ID))
    with pytest.raises(ConflictError) as refused:
        enroller.enrol(other)
    assert refused.value.reason == "REQUEST_ID_REUSED"


def test_a_request_that_failed_may_be_sent_again_with_other_photographs(enroller):
    with pytest.raises(EnrolmentError):
        enroller.enrol(request("Ada", JUNK, request_id=ID))
    assert enroller.enrol(request("Ada", photo(ADA), request_id=ID)).receipt.identity.template_count == 1


def test_equal_requests_at_the_same_time_are_done_once(enroller, galleries):
    wanted = request("Ada", photo(ADA), looks(1, 50), request_id=ID)
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: enroller.enrol(wanted), range(8)))
    assert {enrolled.receipt.identity.name for enrolled in done} == {done[0].receipt.identity.name}
    assert all([one.refusal for one in enrolled.photos] == [None, None] for enrolled in done)
    assert galleries.statistics(GALLERY).template_count == 2
