"""SightingService over the wire, on a real store."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import grpc
import pytest
from facestream.v1 import image_pb2, sighting_pb2, sighting_pb2_grpc
from google.protobuf.timestamp_pb2 import Timestamp

from server.domain import Codec, EncodedImage, IdentityName, UnknownName
from server.identity.sightings.book import Sightings
from server.identity.sightings.orders import Order
from server.pipeline.verify import embed_image
from server.rpc.sighting import SightingServicer
from tests.painted import DIMENSION, person, portrait
from tests.server.identity.crowd import enrol
from tests.server.identity.sightings.passers import Passers, face_of, rule_of
from tests.server.pipeline.parts import FAR, recogniser_of
from tests.server.rpc.served import refused_by, served


@pytest.fixture
def sightings(galleries):
    return Sightings(galleries, rule_of())


@pytest.fixture
def hall(galleries, sightings):
    return Passers(galleries, sightings, dimension=DIMENSION)


@pytest.fixture
def draining():
    return asyncio.Event()


@pytest.fixture
def servicer(loaded, galleries, sightings, executor, draining):
    return SightingServicer(
        sightings=sightings,
        galleries=galleries,
        recogniser=recogniser_of(loaded, galleries),
        executor=executor,
        target_far=FAR,
        draining=draining,
    )


@pytest.fixture
async def stub(servicer, metrics):
    async with served(
        lambda server: sighting_pb2_grpc.add_SightingServiceServicer_to_server(servicer, server), metrics
    ) as channel:
        yield sighting_pb2_grpc.SightingServiceStub(channel)


async def listed(stub, **wanted):
    return list((await stub.ListSightings(sighting_pb2.ListSightingsRequest(**wanted))).sightings)


async def test_a_track_that_was_reported_is_listed_with_its_group(stub, hall):
    hall.passes(1, camera="yard", at_s=10)
    hall.passes(1, camera="door", at_s=20)
    door, yard = await listed(stub)
    assert (door.camera, door.first_seen_time.seconds, door.last_seen_time.seconds) == ("door", 20, 22)
    assert door.unknown == yard.unknown != ""
    assert (door.identity, door.display_name, door.frame_count, door.ended) == ("", "", 9, True)
    assert not door.HasField("distance")
    assert door.quality.score == pytest.approx(0.9)


async def test_a_list_is_filtered_by_person_group_camera_and_time(stub, hall, galleries):
    ada = enrol(galleries, "Ada", face_of(1, 99, dimension=DIMENSION)[None]).identity.name
    for number, (who, camera) in enumerate([(1, "yard"), (2, "yard"), (2, "door"), (3, "door")]):
        hall.passes(who, camera=camera, at_s=10 * number)
    everybody = await listed(stub)
    group = everybody[1].unknown
    assert [s.first_seen_time.seconds for s in everybody] == [30, 20, 10, 0]
    assert [s.display_name for s in await listed(stub, identity=ada)] == ["Ada"]
    assert [s.first_seen_time.seconds for s in await listed(stub, unknown=group)] == [20, 10]
    assert [s.first_seen_time.seconds for s in await listed(stub, camera="yard")] == [10, 0]
    window = {"start_time": Timestamp(seconds=12), "end_time": Timestamp(seconds=30)}
    assert [s.first_seen_time.seconds for s in await listed(stub, **window)] == [20, 10]


async def test_pages_hold_everything_once(stub, hall):
    for who in range(5):
        hall.passes(who)
    names, token = [], ""
    while True:
        page = await stub.ListSightings(sighting_pb2.ListSightingsRequest(page_size=2, page_token=token))
        names += [sighting.name for sighting in page.sightings]
        token = page.next_page_token
        if not token:
            break
    assert names == [sighting.name for sighting in await listed(stub)]
    assert len(names) == 5


async def test_a_token_of_another_list_is_refused(stub, hall):
    for who in range(3):
        hall.passes(who)
    page = await stub.ListSightings(sighting_pb2.ListSightingsRequest(page_size=1))
    other = sighting_pb2.ListSightingsRequest(page_size=1, camera="door", page_token=page.next_page_token)
    refused = await refused_by(stub.ListSightings(other))
    assert (refused.code, refused.reason) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")


@pytest.mark.parametrize(
    ("request_", "reason", "field"),
    [
        ({"page_size": -1}, "PAGE_SIZE_INVALID", "page_size"),
        ({"identity": "ada"}, "RESOURCE_NAME_INVALID", "identity"),
        ({"unknown": "who"}, "RESOURCE_NAME_INVALID", "unknown"),
        ({"start_time": Timestamp(seconds=-5)}, "TIME_INVALID", "start_time"),
        ({"end_time": Timestamp(seconds=10**12)}, "TIME_INVALID", "end_time"),
    ],
)
async def test_a_list_that_makes_no_sense_is_refused_by_its_field(stub, request_, reason, field):
    refused = await refused_by(stub.ListSightings(sighting_pb2.ListSightingsRequest(**request_)))
    assert (refused.code, refused.reason, refused.field) == ("INVALID_ARGUMENT", reason, field)


async def test_a_sighting_comes_with_its_crop(stub, hall):
    hall.passes(7)
    (seen,) = await listed(stub)
    got = await stub.GetSighting(sighting_pb2.GetSightingRequest(name=seen.name))
    assert got.sighting == seen
    assert got.crop == bytes([7] * 48)


async def test_a_sighting_that_is_not_there_is_not_found(stub):
    name = "tenants/default/galleries/default/sightings/5"
    refused = await refused_by(stub.GetSighting(sighting_pb2.GetSightingRequest(name=name)))
    assert (refused.code, refused.reason) == ("NOT_FOUND", "SIGHTING_NOT_FOUND")


async def test_a_photograph_finds_the_past_sightings_of_the_person(stub, hall, loaded, galleries, sightings):
    recogniser = recogniser_of(loaded, galleries)
    for who in (1, 2):
        image = EncodedImage(Codec.PNG, portrait(person(who)))
        _, (template,) = embed_image(recogniser, image, mirrored=True)
        sightings.observe(replace(hall.report(who), template=template))
    hall.settle()
    request = sighting_pb2.SearchSightingsRequest(image=image_pb2.Image(data=portrait(person(2))), limit=1)
    found = await stub.SearchSightings(request)
    assert found.searched_count == 2
    ((face),) = found.faces
    ((nearest),) = face.candidates
    assert nearest.sighting.track == "track-1"
    assert nearest.within_threshold
    assert nearest.distance == pytest.approx(0, abs=1e-4)


# ---- watching


async def told(call, count):
    async with asyncio.timeout(10):
        return [await call.read() for _ in range(count)]


async def test_a_watcher_is_told_of_new_sightings_and_of_names(stub, hall, galleries, sightings):
    call = stub.WatchSightings(sighting_pb2.WatchSightingsRequest())
    (ready,) = await told(call, 1)
    assert ready.WhichOneof("event") == "ready"
    await asyncio.to_thread(hall.passes, 1)
    (first,) = await told(call, 1)
    assert (first.sighting.track, first.sighting.unknown) == ("track-0", "")
    await asyncio.to_thread(hall.passes, 1)
    before, after = await told(call, 2)
    assert before.sighting.unknown == after.sighting.unknown != ""
    group = sightings.unknowns_page(hall.gallery, ()).unknowns[0]
    receipt = await asyncio.to_thread(
        lambda: sightings.name(UnknownName.parse(group.name), display_name="Ada", order=Order(at_ns=1))
    )
    (named,) = await told(call, 1)
    assert (named.person.name, named.person.now, named.person.display_name) == (group.name, receipt.identity, "Ada")
    await asyncio.to_thread(lambda: galleries.rename(IdentityName.parse(receipt.identity), "Ada King", at_ns=2))
    (renamed,) = await told(call, 1)
    assert (renamed.person.name, renamed.person.display_name) == (receipt.identity, "Ada King")
    await asyncio.to_thread(lambda: galleries.delete(IdentityName.parse(receipt.identity), at_ns=3))
    person_gone, *sightings_gone = await told(call, 3)
    assert (person_gone.person.name, person_gone.person.now) == (receipt.identity, "")
    assert [gone.deleted_sighting for gone in sightings_gone] == [before.sighting.name, after.sighting.name]
    call.cancel()


async def test_a_watcher_of_one_camera_is_not_told_of_others(stub, hall):
    call = stub.WatchSightings(sighting_pb2.WatchSightingsRequest(camera="yard"))
    await told(call, 1)
    await asyncio.to_thread(hall.passes, 1, camera="door")
    await asyncio.to_thread(hall.passes, 2, camera="yard")
    (seen,) = await told(call, 1)
    assert seen.sighting.camera == "yard"
    call.cancel()


async def test_a_watch_ends_when_the_server_drains(stub, draining):
    call = stub.WatchSightings(sighting_pb2.WatchSightingsRequest())
    await told(call, 1)
    draining.set()
    refused = await refused_by(call.read())
    assert (refused.code, refused.reason) == ("UNAVAILABLE", "SERVER_DRAINING")


async def test_a_watcher_that_leaves_leaves_nothing_that_waits(stub):
    call = stub.WatchSightings(sighting_pb2.WatchSightingsRequest())
    await told(call, 1)
    assert len(waits()) == 2
    call.cancel()
    await until(lambda: waits() == [])


class GoneContext:
    """The call of a client that has gone."""

    async def write(self, message):
        raise grpc.aio.UsageError("RPC already finished.")


async def test_a_watcher_that_has_gone_is_no_error_of_the_server(servicer, caplog):
    caplog.set_level("INFO")
    await servicer.WatchSightings(sighting_pb2.WatchSightingsRequest(), GoneContext())
    assert "watcher gone" in caplog.text
    assert waits() == []


def waits():
    """Tasks that wait for news or for the server to stop."""
    return [task for task in asyncio.all_tasks() if task.get_coro().__qualname__ == "Event.wait"]


async def until(condition):
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came")
