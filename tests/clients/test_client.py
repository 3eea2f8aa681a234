from __future__ import annotations

import socket
import uuid
from pathlib import Path

import grpc
import pytest
from facestream.v1 import gallery_pb2
from grpc_health.v1 import health_pb2

from clients.client import Client
from clients.errors import (
    InvalidRequestError,
    NotFoundError,
    NoUsablePhotoError,
    RefusedError,
    UnavailableError,
    UsageError,
)
from clients.faces import Match
from clients.fake.script import matching, stranger
from clients.fake.server import FakeServer
from clients.frames import Recognised
from clients.options import StreamOptions
from clients.people import Health, Refusal
from clients.photos import Photo
from clients.slot import Delivery
from clients.sources.source import Frames
from tests.clients.conftest import frame

PHOTO = Photo("ada.jpg", b"jpeg")


def photos(count: int) -> list[Photo]:
    return [Photo(f"{number}.jpg", b"jpeg") for number in range(count)]


async def test_a_new_person_is_enrolled(fake: FakeServer) -> None:
    async with Client(fake.target) as client:
        enrolment = await client.enrol("Ada Lovelace", [PHOTO])
    assert enrolment.identity.display_name == "Ada Lovelace"
    assert enrolment.identity.template_count == 1
    assert [photo.source for photo in enrolment.photos if photo.accepted] == ["ada.jpg"]
    (request,) = fake.gallery.enrolments
    assert uuid.UUID(request.request_id)
    assert (request.identity, request.display_name, request.allow_lookalikes) == ("", "Ada Lovelace", False)


async def test_many_photographs_go_to_one_person_in_several_requests(fake: FakeServer) -> None:
    judged: list[int] = []
    async with Client(fake.target) as client:
        enrolment = await client.enrol("Ada", photos(40), judged=lambda outcomes: judged.append(len(outcomes)))
    assert [photo.source for photo in enrolment.photos] == [f"{number}.jpg" for number in range(40)]
    assert enrolment.identity.template_count == 40
    assert len(fake.gallery.identities) == 1
    assert judged == [16, 16, 8]
    assert len(set(fake.gallery.requests)) == 3


async def test_a_first_request_without_a_usable_photograph_does_not_end_the_enrolment(fake: FakeServer) -> None:
    for number in range(16):
        fake.gallery.refusals[f"{number}.jpg"] = (gallery_pb2.PHOTO_REFUSAL_NO_FACE, "no face was found")
    async with Client(fake.target) as client:
        enrolment = await client.enrol("Ada", photos(20))
    assert [photo.refusal for photo in enrolment.photos] == [Refusal.NO_FACE] * 16 + [Refusal.UNSPECIFIED] * 4
    assert enrolment.identity.template_count == 4


async def test_photographs_none_of_which_is_usable_are_refused_with_their_reasons(fake: FakeServer) -> None:
    fake.gallery.refusals = {
        "0.jpg": (gallery_pb2.PHOTO_REFUSAL_TOO_SMALL, "the face is 12 pixels wide"),
        "1.jpg": (gallery_pb2.PHOTO_REFUSAL_MULTIPLE_FACES, "2 faces were found"),
    }
    async with Client(fake.target) as client:
        with pytest.raises(NoUsablePhotoError, match="the face is 12 pixels wide") as error:
            await client.enrol("Ada", photos(2))
    assert [(photo.source, photo.refusal) for photo in error.value.photos] == [
        ("0.jpg", Refusal.TOO_SMALL),
        ("1.jpg", Refusal.MULTIPLE_FACES),
    ]
    assert fake.gallery.identities == {}


async def test_no_photographs_are_an_error_without_a_call(fake: FakeServer) -> None:
    async with Client(fake.target) as client:
        with pytest.raises(UsageError, match="no photograph"):
            await client.enrol("Ada", [])
    assert fake.gallery.enrolments == []


async def test_photographs_are_added_to_a_person_who_is_there(fake: FakeServer) -> None:
    ada = fake.gallery.add("Ada")
    async with Client(fake.target, gallery="default") as client:
        enrolment = await client.enrol("", [PHOTO], identity=ada.name, allow_lookalikes=True)
    assert enrolment.identity.template_count == 2
    (request,) = fake.gallery.enrolments
    assert (request.identity, request.gallery, request.display_name, request.allow_lookalikes) == (
        ada.name,
        "",
        "",
        True,
    )


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED])
async def test_an_enrolment_whose_answer_was_lost_is_repeated_and_happens_once(
    fake: FakeServer, code: grpc.StatusCode
) -> None:
    fake.gallery.fail = [code]
    async with Client(fake.target) as client:
        enrolment = await client.enrol("Ada", [PHOTO])
    assert len(fake.gallery.requests) == 2
    assert len(set(fake.gallery.requests)) == 1
    assert [identity.name for identity in fake.gallery.identities.values()] == [enrolment.identity.name]


async def test_an_enrolment_that_breaks_off_says_what_is_done(fake: FakeServer) -> None:
    fake.gallery.fail = [None, grpc.StatusCode.INVALID_ARGUMENT]
    async with Client(fake.target) as client:
        with pytest.raises(InvalidRequestError) as error:
            await client.enrol("Ada", photos(20))
    (ada,) = fake.gallery.identities.values()
    assert "16 photographs are enrolled already" in error.value.hint
    assert ada.name.rpartition("/")[2] in error.value.hint


async def test_all_pages_are_listed(fake: FakeServer) -> None:
    names = ["Ada", "Bob", "Cyd", "Ada B", "Eve"]
    for name in names:
        fake.gallery.add(name)
    async with Client(fake.target) as client:
        assert [identity.display_name async for identity in client.list()] == names
        assert [identity.display_name async for identity in client.list("ada")] == ["Ada", "Ada B"]


async def test_reads_are_repeated_while_the_server_is_out_of_reach(fake: FakeServer) -> None:
    fake.gallery.add("Ada")
    fake.gallery.fail = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE]
    async with Client(fake.target) as client:
        assert [identity.display_name async for identity in client.list()] == ["Ada"]


async def test_a_person_is_shown_with_templates(fake: FakeServer) -> None:
    ada = fake.gallery.add("Ada", "one.jpg", "two.jpg")
    async with Client(fake.target) as client:
        details = await client.get(ada.name)
    assert details.identity.name == ada.name
    assert [template.source for template in details.templates] == ["one.jpg", "two.jpg"]
    assert details.identity.created_at.utcoffset() is not None


async def test_a_person_is_found_by_resource_name_id_or_display_name(fake: FakeServer) -> None:
    ada = fake.gallery.add("Ada Lovelace")
    fake.gallery.add("Ada Lovelace King")
    async with Client(fake.target) as client:
        for who in (ada.name, ada.name.rpartition("/")[2], "Ada Lovelace", "ada lovelace"):
            assert (await client.find(who)).name == ada.name


@pytest.mark.parametrize(("name", "written"), [("R&D / Reception", "r&d / reception"), ("Ren\u00e9", "Rene\u0301")])
async def test_a_name_is_found_whatever_it_holds_and_however_it_is_written(
    fake: FakeServer, name: str, written: str
) -> None:
    added = fake.gallery.add(name)
    async with Client(fake.target) as client:
        assert (await client.find(written)).name == added.name


async def test_a_name_that_two_people_have_is_refused_with_their_ids(fake: FakeServer) -> None:
    ids = [fake.gallery.add("Ada").name.rpartition("/")[2] for _ in range(2)]
    async with Client(fake.target) as client:
        with pytest.raises(RefusedError, match="2 people are called Ada") as error:
            await client.find("Ada")
    assert all(each in error.value.message for each in ids)


async def test_a_name_that_nobody_has_is_not_found_and_similar_ones_are_named(fake: FakeServer) -> None:
    fake.gallery.add("Ada Lovelace")
    async with Client(fake.target) as client:
        with pytest.raises(NotFoundError, match=r"nobody is called Ada; similar names: Ada Lovelace"):
            await client.find("Ada")
        with pytest.raises(NotFoundError):
            await client.find("tenants/default/galleries/default/identities/nobody")


async def test_renaming_and_deleting_happen_once_though_answers_get_lost(fake: FakeServer) -> None:
    ada = fake.gallery.add("Ada", "1.jpg", "2.jpg")
    async with Client(fake.target) as client:
        fake.gallery.fail = [grpc.StatusCode.DEADLINE_EXCEEDED]
        assert (await client.rename(ada.name, "Ada King")).display_name == "Ada King"
        receipt = await client.delete(ada.name)
        assert (receipt.name, receipt.template_count) == (ada.name, 2)
        with pytest.raises(NotFoundError):
            await client.delete(ada.name)
    assert len(fake.gallery.requests) == 4
    assert len(set(fake.gallery.requests)) == 3


async def test_a_write_to_a_server_that_is_not_there_fails_as_unavailable(fake: FakeServer) -> None:
    await fake.stop()
    async with Client(fake.target, timeout_s=1) as client:
        with pytest.raises(UnavailableError, match=f"no answer from {fake.target}"):
            await client.rename("tenants/default/galleries/default/identities/a", "B")


async def test_faces_are_searched(fake: FakeServer) -> None:
    fake.gallery.add("Ada")
    fake.gallery.add("Bob")
    fake.gallery.faces = [matching("Ada"), stranger()]
    async with Client(fake.target) as client:
        result = await client.search(PHOTO, limit=2)
    assert len(result.faces) == 2
    near, far = result.faces[0].candidates
    assert (near.identity.display_name, near.within_threshold) == ("Ada", True)
    assert (far.identity.display_name, far.within_threshold) == ("Bob", False)


async def test_faces_of_a_photograph_are_recognised_and_embedded(fake: FakeServer) -> None:
    fake.recognition.faces = [matching("Ada")]
    async with Client(fake.target) as client:
        recognition = await client.recognize(PHOTO)
        (embedded,) = await client.embed(PHOTO, mirrored=True)
    assert isinstance(recognition.faces[0].answer, Match)
    assert (recognition.width, recognition.height) == (320, 240)
    assert len(embedded.embedding) == 128
    assert embedded.fingerprint == "fake"


async def test_two_photographs_are_compared(fake: FakeServer) -> None:
    async with Client(fake.target) as client:
        assert (await client.verify(PHOTO, PHOTO, target_far=0.01)).same
        different = await client.verify(PHOTO, Photo("bob.jpg", b"other"))
    assert not different.same
    assert different.distance > different.threshold


async def test_the_status_joins_health_server_and_gallery(fake: FakeServer) -> None:
    fake.gallery.add("Ada", "1.jpg", "2.jpg")
    async with Client(fake.target, gallery="office") as client:
        status = await client.status()
        assert status.health is Health.SERVING
        await fake.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        assert (await client.status()).health is Health.NOT_SERVING
    assert status.gallery.gallery == "tenants/default/galleries/office"
    assert status.gallery.template_count == 2
    assert status.server.models[0].model == "sface/2021dec"
    assert status.server.uptime_s == 3723


async def test_a_stream_uses_the_clients_server_and_gallery(fake: FakeServer) -> None:
    options = StreamOptions(camera="door", delivery=Delivery.EVERY)
    async with (
        Client(fake.target, gallery="office") as client,
        client.stream(Frames([frame(1)]), options) as stream,
    ):
        (answer,) = [answer async for answer in stream]
    assert isinstance(answer.outcome, Recognised)
    assert fake.recognition.configs[0].gallery == "tenants/default/galleries/office"


async def test_a_call_that_takes_too_long_says_so() -> None:
    # The connection is taken by the operating system, and nobody ever reads from it.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        async with Client(f"127.0.0.1:{port}", timeout_s=0.2) as client:
            with pytest.raises(UnavailableError, match="in time"):
                await client.recognize(PHOTO)


def test_an_address_without_a_port_is_refused() -> None:
    with pytest.raises(UsageError):
        Client("localhost")


def test_photographs_are_read_only_as_they_are_needed(tmp_path: Path) -> None:
    from clients.photos import batches

    opened: list[int] = []

    def lazily() -> object:
        for number in range(100):
            opened.append(number)
            yield Photo(str(number), b"x")

    next(iter(batches(lazily())))
    assert len(opened) <= 17
