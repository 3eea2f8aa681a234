"""Sightings and unknown people through the client library."""

from __future__ import annotations

from datetime import UTC, datetime

import grpc
import pytest
from facestream.v1 import sighting_pb2

from clients.client import Client
from clients.errors import NotFoundError, RefusedError, UnavailableError
from clients.fake.server import FakeServer
from clients.photos import Photo
from clients.seen import (
    OperationKind,
    PersonChange,
    RecordedSighting,
    SightingDeleted,
    SightingQuery,
    UnknownState,
    WatchBegan,
)

GALLERY = "tenants/default/galleries/default"


async def test_sightings_are_listed_page_by_page_with_what_is_known_of_each(fake: FakeServer) -> None:
    fake.sightings.add(camera="yard", at_s=100)
    ada = fake.sightings.add(identity=f"{GALLERY}/identities/a", display_name="Ada", distance=0.5)
    fake.sightings.add()
    async with Client(fake.target) as client:
        found = [sighting async for sighting in client.sightings.list()]
    assert [sighting.id for sighting in found] == ["3", "2", "1"]
    assert (found[1].name, found[1].display_name, found[1].distance) == (ada.name, "Ada", 0.5)
    oldest = found[2]
    assert (oldest.camera, oldest.track, oldest.frames, oldest.ended) == ("yard", "track-1", 30, True)
    assert (oldest.identity, oldest.unknown, oldest.distance) == ("", "", None)
    assert oldest.first_seen_at == datetime.fromtimestamp(100, UTC)
    assert oldest.quality.score == pytest.approx(0.8)


async def test_a_list_asks_for_what_is_wanted_by_full_names_and_times(fake: FakeServer) -> None:
    query = SightingQuery(
        identity="a", unknown="u", camera="door", start_at=datetime.fromtimestamp(5, UTC), include_ignored=True
    )
    async with Client(fake.target) as client:
        assert [sighting async for sighting in client.sightings.list(query)] == []
    (request,) = fake.sightings.listed
    assert (request.identity, request.unknown) == (f"{GALLERY}/identities/a", f"{GALLERY}/unknowns/u")
    assert (request.camera, request.start_time.seconds, request.include_ignored) == ("door", 5, True)
    assert not request.HasField("end_time")


async def test_a_sighting_comes_with_its_crop(fake: FakeServer) -> None:
    fake.sightings.add(crop=b"jpeg")
    async with Client(fake.target) as client:
        sighting, crop = await client.sightings.get("1")
        assert (sighting.id, crop) == ("1", b"jpeg")
        with pytest.raises(NotFoundError, match="there is no"):
            await client.sightings.get("2")


async def test_a_watcher_is_told_of_sightings_people_and_deletions(fake: FakeServer) -> None:
    told = sighting_pb2.WatchSightingsResponse
    fake.sightings.events.put_nowait(told(sighting=fake.sightings.add()))
    change = sighting_pb2.PersonChange(name="u", now="i", display_name="Ada")
    fake.sightings.events.put_nowait(told(person=change))
    fake.sightings.events.put_nowait(told(deleted_sighting="s"))
    fake.sightings.events.put_nowait(None)
    async with Client(fake.target) as client:
        watch = client.sightings.watch()
        assert await anext(watch) == WatchBegan()
        events = [await anext(watch) for _ in range(3)]
        with pytest.raises(UnavailableError, match="stopping"):
            await anext(watch)
    assert isinstance(events[0], RecordedSighting)
    assert events[1:] == [PersonChange("u", "i", "Ada"), SightingDeleted("s")]


async def test_the_past_is_searched_for_a_face(fake: FakeServer) -> None:
    fake.sightings.add()
    fake.sightings.add(identity="i")
    async with Client(fake.target) as client:
        strangers = await client.sightings.search(Photo("a.jpg", b"jpeg"))
        everybody = await client.sightings.search(Photo("a.jpg", b"jpeg"), include_identified=True, limit=2)
    assert [near.sighting.id for near in strangers.faces[0].candidates] == ["1"]
    assert [near.within_threshold for near in everybody.faces[0].candidates] == [True, False]
    assert everybody.searched_count == 2


async def test_groups_are_listed_by_state_and_shown_with_faces(fake: FakeServer) -> None:
    for name in ("a", "b", "c"):
        fake.unknowns.add(name, crop=b"jpeg")
    async with Client(fake.target) as client:
        await client.unknowns.ignore("b")
        assert [unknown.id async for unknown in client.unknowns.list()] == ["a", "c"]
        assert [unknown.id async for unknown in client.unknowns.list(UnknownState.IGNORED)] == ["b"]
        details = await client.unknowns.get("c", face_limit=1)
    assert (details.unknown.state, details.unknown.sighting_count) == (UnknownState.OPEN, 2)
    assert [face.crop for face in details.faces] == [b"jpeg"]


async def test_a_group_is_named_merged_split_deleted_and_all_of_it_is_written_down(fake: FakeServer) -> None:
    for name in ("a", "b", "c"):
        fake.unknowns.add(name)
    async with Client(fake.target) as client:
        merged = await client.unknowns.merge(["a", "b"])
        assert (merged.unknown.id, merged.unknown.sighting_count) == ("a", 4)
        split = await client.unknowns.split("a", ["1"])
        assert (split.unknown.sighting_count, split.other.sighting_count) == (3, 1)
        naming = await client.unknowns.name("a", "Ada")
        assert (naming.identity.display_name, naming.unknown.identity) == ("Ada", naming.identity.name)
        rejection = await client.sightings.reject("2")
        assert (rejection.rejected_identity, rejection.sighting.identity) == (naming.identity.name, "")
        receipt = await client.unknowns.delete("c")
        assert (receipt.name, receipt.sighting_count) == (f"{GALLERY}/unknowns/c", 2)
        undone = await client.unknowns.undo(rejection.operation)
        assert (undone.kind, undone.undone) == (OperationKind.REJECT, True)
        log = [operation.kind.value async for operation in client.unknowns.operations()]
    assert log == ["delete", "reject", "name", "split", "merge"]


async def test_what_is_refused_is_an_error_with_the_servers_words(fake: FakeServer) -> None:
    fake.unknowns.add("a")
    async with Client(fake.target) as client:
        await client.unknowns.name("a", "Ada")
        with pytest.raises(RefusedError, match="was named"):
            await client.unknowns.delete("a")
        with pytest.raises(NotFoundError):
            await client.unknowns.name("x", "Bob")


async def test_a_write_that_got_lost_is_repeated_and_done_once(fake: FakeServer) -> None:
    fake.unknowns.add("a")
    fake.unknowns.fail = [grpc.StatusCode.UNAVAILABLE]
    async with Client(fake.target) as client:
        await client.unknowns.name("a", "Ada")
    first, second = fake.unknowns.requests
    assert first == second != ""
    assert len(fake.unknowns.operations) == len(fake.gallery.identities) == 1
