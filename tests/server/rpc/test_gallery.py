"""GalleryService over the wire, on painted faces and a real store."""

from __future__ import annotations

import uuid

import pytest
from facestream.v1 import gallery_pb2, gallery_pb2_grpc, image_pb2

from server.errors import InvalidInputError
from server.pipeline.enrol import Photo
from server.rpc.gallery import GalleryServicer, enrolment_from
from tests.painted import PaintedFace, between, paint, person, png, portrait
from tests.server.pipeline.parts import FAR, enroller_of, recogniser_of
from tests.server.rpc.served import refused_by, served

GALLERY = "tenants/default/galleries/default"
ID = "0190B6F2-1111-4222-8333-44444444ABCD"


@pytest.fixture
async def stub(loaded, galleries, executor, metrics):
    servicer = GalleryServicer(
        galleries=galleries,
        enroller=enroller_of(loaded, galleries),
        recogniser=recogniser_of(loaded, galleries),
        executor=executor,
        target_far=FAR,
        metrics=metrics.galleries,
    )
    async with served(
        lambda server: gallery_pb2_grpc.add_GalleryServiceServicer_to_server(servicer, server), metrics
    ) as channel:
        yield gallery_pb2_grpc.GalleryServiceStub(channel)


def enrolment(name, *photos, **fields):
    messages = [
        gallery_pb2.EnrolmentPhoto(image=image_pb2.Image(data=data), source=f"{i}.png") for i, data in enumerate(photos)
    ]
    return gallery_pb2.EnrolIdentityRequest(display_name=name, photos=messages, **fields)


async def enrol(stub, number, **fields):
    return (await stub.EnrolIdentity(enrolment(f"person {number}", portrait(person(number)), **fields))).identity


# ---- the life of a person


async def test_a_person_is_enrolled_listed_shown_renamed_and_deleted(stub, count):
    answer = await stub.EnrolIdentity(enrolment("Ada", portrait(person(1)), b"junk"))
    ada = answer.identity
    assert [photo.accepted for photo in answer.photos] == [True, False]
    assert (ada.display_name, ada.template_count, answer.gallery_revision) == ("Ada", 1, 1)
    assert count("facestream_gallery_identities", gallery=GALLERY) == 1

    shown = await stub.GetIdentity(gallery_pb2.GetIdentityRequest(name=ada.name))
    assert shown.identity == ada
    assert [template.source for template in shown.templates] == ["0.png"]

    renamed = await stub.RenameIdentity(gallery_pb2.RenameIdentityRequest(name=ada.name, display_name="Ada King"))
    assert (renamed.identity.display_name, renamed.gallery_revision) == ("Ada King", 2)
    listed = await stub.ListIdentities(gallery_pb2.ListIdentitiesRequest())
    assert [identity.display_name for identity in listed.identities] == ["Ada King"]

    receipt = (await stub.DeleteIdentity(gallery_pb2.DeleteIdentityRequest(name=ada.name))).receipt
    assert (receipt.name, receipt.template_count, receipt.gallery_revision) == (ada.name, 1, 3)
    assert receipt.delete_time.seconds > 0
    assert not (await stub.ListIdentities(gallery_pb2.ListIdentitiesRequest())).identities
    assert count("facestream_gallery_identities", gallery=GALLERY) == 0


async def test_photos_are_counted_by_what_became_of_them(stub, count):
    await stub.EnrolIdentity(enrolment("Ada", portrait(person(1)), b"junk", portrait(person(1), side=20)))
    await refused_by(stub.EnrolIdentity(enrolment("Bob", b"junk")))
    outcomes = ("accepted", "unreadable", "too_small")
    assert [count("facestream_enrolment_photos_total", outcome=outcome) for outcome in outcomes] == [1, 2, 1]


async def test_people_are_listed_a_page_at_a_time_in_the_order_of_their_enrolment(stub):
    for number in range(5):
        await enrol(stub, number)
    seen, token = [], ""
    while True:
        page = await stub.ListIdentities(gallery_pb2.ListIdentitiesRequest(page_size=2, page_token=token))
        assert len(page.identities) <= 2
        seen += [identity.display_name for identity in page.identities]
        token = page.next_page_token
        if not token:
            break
    assert seen == [f"person {number}" for number in range(5)]
    some = await stub.ListIdentities(gallery_pb2.ListIdentitiesRequest(display_name_contains="ON 3"))
    assert [identity.display_name for identity in some.identities] == ["person 3"]


async def test_galleries_are_apart(stub):
    await enrol(stub, 1)
    await enrol(stub, 1, gallery="tenants/default/galleries/other")
    for gallery in (GALLERY, "tenants/default/galleries/other"):
        numbers = await stub.GetGalleryStatistics(gallery_pb2.GetGalleryStatisticsRequest(gallery=gallery))
        assert (numbers.gallery, numbers.identity_count, numbers.template_count) == (gallery, 1, 1)


async def test_statistics_say_what_is_in_force(stub, loaded):
    empty = await stub.GetGalleryStatistics(gallery_pb2.GetGalleryStatisticsRequest())
    assert (empty.revision, empty.fingerprint) == (0, "")
    for number in range(3):
        await enrol(stub, number)
    numbers = await stub.GetGalleryStatistics(gallery_pb2.GetGalleryStatisticsRequest())
    assert (numbers.revision, numbers.fingerprint) == (3, loaded.vision.fingerprint)
    assert numbers.target_far == FAR
    assert 0 < numbers.threshold < empty.threshold
    assert numbers.index_base_count + numbers.index_delta_count == 3


# ---- checking


async def test_a_check_names_people_who_are_enrolled_twice(stub):
    ada = await enrol(stub, 1)
    again = await stub.EnrolIdentity(enrolment("Ada again", portrait(between(1, 2, 0.02)), allow_lookalikes=True))
    await enrol(stub, 5)

    found = await stub.CheckGallery(gallery_pb2.CheckGalleryRequest())

    (finding,) = found.findings
    assert finding.trouble == gallery_pb2.GALLERY_TROUBLE_DUPLICATE
    assert {finding.template.identity, finding.other.identity} == {ada.name, again.identity.name}
    assert {finding.template.display_name, finding.other.display_name} == {"person 1", "Ada again"}
    assert finding.distance < found.threshold
    assert not finding.HasField("own_distance")
    assert (found.finding_count, found.template_count, found.checked_count, found.gallery_revision) == (1, 3, 3, 3)
    assert not found.HasField("advised_target_far")


async def test_a_check_shows_no_more_than_was_asked_for_and_counts_all(stub):
    for share in (0.0, 0.02, 0.04):
        await stub.EnrolIdentity(enrolment(f"share {share}", portrait(between(1, 2, share)), allow_lookalikes=True))

    found = await stub.CheckGallery(gallery_pb2.CheckGalleryRequest(limit=1))

    assert len(found.findings) == 1
    assert found.finding_count == 2


async def test_a_check_goes_by_the_threshold_that_is_in_force(stub):
    for number in range(3):
        looks = [portrait(between(number, 9, share)) for share in (0.0, 0.01, 0.02)]
        await stub.EnrolIdentity(enrolment(f"person {number}", *looks, allow_lookalikes=True))
    statistics = await stub.GetGalleryStatistics(gallery_pb2.GetGalleryStatisticsRequest())
    assert statistics.template_count > statistics.identity_count

    found = await stub.CheckGallery(gallery_pb2.CheckGalleryRequest())

    assert found.threshold == statistics.threshold


async def test_an_empty_gallery_is_healthy(stub):
    found = await stub.CheckGallery(gallery_pb2.CheckGalleryRequest())

    assert (len(found.findings), found.template_count) == (0, 0)


async def test_a_negative_number_of_findings_is_refused(stub):
    refusal = await refused_by(stub.CheckGallery(gallery_pb2.CheckGalleryRequest(limit=-1)))
    assert refusal.reason == "LIMIT_INVALID"


# ---- searching


async def test_a_search_lists_people_with_distances_and_says_who_is_near_enough(stub):
    await enrol(stub, 1)
    await enrol(stub, 2)
    image = image_pb2.Image(data=portrait(between(1, 2, 0.2)))
    found = await stub.SearchIdentities(gallery_pb2.SearchIdentitiesRequest(image=image))
    (face,) = found.faces
    assert [candidate.identity.display_name for candidate in face.candidates] == ["person 1", "person 2"]
    assert [candidate.within_threshold for candidate in face.candidates] == [True, False]
    assert face.candidates[0].distance == pytest.approx(0.2, abs=0.03)
    assert face.face.match.display_name == "person 1"
    assert face.candidates[0].template_id
    assert found.gallery_revision == 2
    one = await stub.SearchIdentities(gallery_pb2.SearchIdentitiesRequest(image=image, limit=1))
    assert len(one.faces[0].candidates) == 1


async def test_without_a_limit_five_people_are_listed(stub):
    for number in range(7):
        await enrol(stub, number)
    image = image_pb2.Image(data=portrait(person(1)))
    found = await stub.SearchIdentities(gallery_pb2.SearchIdentitiesRequest(image=image))
    assert len(found.faces[0].candidates) == 5


async def test_a_stricter_rate_has_a_smaller_threshold(stub):
    await enrol(stub, 1)
    image = image_pb2.Image(data=portrait(person(1)))
    thresholds = [
        (await stub.SearchIdentities(gallery_pb2.SearchIdentitiesRequest(image=image, target_far=far))).threshold
        for far in (1e-4, 0, 1e-2)
    ]
    assert thresholds == sorted(set(thresholds))


@pytest.mark.parametrize("limit", [-1, 101])
async def test_a_limit_out_of_range_is_refused(stub, limit):
    request = gallery_pb2.SearchIdentitiesRequest(image=image_pb2.Image(data=b"x"), limit=limit)
    refusal = await refused_by(stub.SearchIdentities(request))
    assert (refusal.code, refusal.reason, refusal.field) == ("INVALID_ARGUMENT", "LIMIT_INVALID", "limit")


# ---- repeating


async def test_a_repeated_write_is_done_once_whatever_the_case_of_its_id(stub):
    first = await stub.EnrolIdentity(enrolment("Ada", portrait(person(1)), request_id=ID))
    again = await stub.EnrolIdentity(enrolment("Ada", portrait(person(1)), request_id=ID.lower()))
    assert first == again
    rename = gallery_pb2.RenameIdentityRequest(
        name=first.identity.name, display_name="Ada King", request_id=str(uuid.uuid4())
    )
    assert await stub.RenameIdentity(rename) == await stub.RenameIdentity(rename)
    deletion = gallery_pb2.DeleteIdentityRequest(name=first.identity.name, request_id=str(uuid.uuid4()))
    assert await stub.DeleteIdentity(deletion) == await stub.DeleteIdentity(deletion)


async def test_a_request_id_is_good_for_one_request(stub):
    ada = await enrol(stub, 1, request_id=ID)
    for call in (
        stub.RenameIdentity(gallery_pb2.RenameIdentityRequest(name=ada.name, display_name="x", request_id=ID)),
        stub.DeleteIdentity(gallery_pb2.DeleteIdentityRequest(name=ada.name, request_id=ID)),
    ):
        refusal = await refused_by(call)
        assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "REQUEST_ID_REUSED")


# ---- requests that make no sense


def test_a_request_becomes_what_the_enroller_takes():
    request = enrolment("Ada", b"abc", gallery="tenants/t/galleries/g", request_id=ID, allow_lookalikes=True)
    wanted = enrolment_from(request)
    assert (str(wanted.gallery), wanted.identity, wanted.display_name) == ("tenants/t/galleries/g", None, "Ada")
    assert (wanted.request_id, wanted.allow_lookalikes) == (ID.lower(), True)
    (photo,) = wanted.photos
    assert isinstance(photo, Photo)
    assert (photo.source, photo.image.data) == ("0.png", b"abc")


def test_photos_for_somebody_go_into_the_gallery_of_that_person():
    wanted = enrolment_from(enrolment("", b"abc", identity="tenants/t/galleries/g/identities/i"))
    assert str(wanted.gallery) == "tenants/t/galleries/g"


IDENTITY = f"{GALLERY}/identities/i"


@pytest.mark.parametrize(
    ("request_message", "reason", "field"),
    [
        (enrolment("Ada", b"x", identity=IDENTITY), "DISPLAY_NAME_UNWANTED", "display_name"),
        (enrolment("", b"x", identity=IDENTITY, gallery="tenants/t/galleries/g"), "GALLERY_MISMATCH", "gallery"),
        (enrolment("", b"x", identity="Ada"), "RESOURCE_NAME_INVALID", "identity"),
        (enrolment("Ada", b"x", gallery="Ada"), "RESOURCE_NAME_INVALID", "gallery"),
        (enrolment("Ada"), "PHOTO_COUNT_INVALID", "photos"),
        (enrolment("Ada", *[b"x"] * 65), "PHOTO_COUNT_INVALID", "photos"),
        (enrolment("Ada", b"x", request_id="1"), "REQUEST_ID_INVALID", "request_id"),
        (enrolment("Ada", b"x", request_id=ID + "0"), "REQUEST_ID_INVALID", "request_id"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_by_its_field(request_message, reason, field):
    with pytest.raises(InvalidInputError) as refused:
        enrolment_from(request_message)
    assert (refused.value.reason, refused.value.field) == (reason, field)


@pytest.mark.parametrize("source", ["x" * 201, "a\nb", "a\x1bb"])
def test_the_name_of_a_photo_is_short_and_printable(source):
    request = enrolment("Ada", b"x", b"y")
    request.photos[1].source = source
    with pytest.raises(InvalidInputError) as refused:
        enrolment_from(request)
    assert (refused.value.reason, refused.value.field) == ("SOURCE_INVALID", "photos[1].source")


async def test_nobody_has_templates_of_two_faces(stub):
    two = png(paint([PaintedFace(person(1), x=50, y=50), PaintedFace(person(2), x=140, y=140)]))
    refusal = await refused_by(stub.EnrolIdentity(enrolment("Ada", two)))
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "NO_USABLE_PHOTO")
