"""UnknownService over the wire, on a real store."""

from __future__ import annotations

import uuid

import pytest
from facestream.v1 import unknown_pb2, unknown_pb2_grpc

from server.identity.sightings.book import Sightings
from server.identity.sightings.records import SightingFilter
from server.rpc.unknown import UnknownServicer
from tests.painted import DIMENSION
from tests.server.identity.crowd import enrol
from tests.server.identity.sightings.passers import Passers, face_of, rule_of
from tests.server.rpc.served import refused_by, served

GALLERY = "tenants/default/galleries/default"


@pytest.fixture
def sightings(galleries):
    return Sightings(galleries, rule_of())


@pytest.fixture
def hall(galleries, sightings):
    hall = Passers(galleries, sightings, dimension=DIMENSION)
    for _ in range(2):
        hall.passes(1)
        hall.passes(2)
    return hall


@pytest.fixture
def counted():
    return []


@pytest.fixture
async def stub(galleries, sightings, executor, metrics, counted):
    servicer = UnknownServicer(sightings=sightings, galleries=galleries, executor=executor, count_people=counted.append)
    async with served(
        lambda server: unknown_pb2_grpc.add_UnknownServiceServicer_to_server(servicer, server), metrics
    ) as channel:
        yield unknown_pb2_grpc.UnknownServiceStub(channel)


async def listed(stub, *states):
    answer = await stub.ListUnknowns(unknown_pb2.ListUnknownsRequest(states=states))
    return [unknown.name for unknown in answer.unknowns]


def shown(hall):
    page = hall.sightings.list_page(hall.gallery, SightingFilter())
    return [seen.person.display_name for seen in page.sightings[::-1]]


async def test_groups_are_listed_and_shown_with_their_faces(stub, hall):
    first, second = await listed(stub)
    got = await stub.GetUnknown(unknown_pb2.GetUnknownRequest(name=second, face_limit=1))
    assert (got.unknown.name, got.unknown.sighting_count, list(got.unknown.cameras)) == (second, 2, ["door"])
    assert got.unknown.state == unknown_pb2.UNKNOWN_STATE_OPEN
    (face,) = got.faces
    assert face.sighting.name == got.unknown.best_sighting
    assert face.sighting.unknown == second
    assert face.crop == bytes([2] * 48)
    assert first != second


async def test_groups_come_in_pages(stub, hall):
    first = await stub.ListUnknowns(unknown_pb2.ListUnknownsRequest(page_size=1))
    rest = await stub.ListUnknowns(unknown_pb2.ListUnknownsRequest(page_size=1, page_token=first.next_page_token))
    assert [u.name for u in (*first.unknowns, *rest.unknowns)] == await listed(stub)
    assert rest.next_page_token == ""


async def test_a_group_is_named_and_the_name_is_taken_back(stub, hall, galleries, counted):
    first, second = await listed(stub)
    named = await stub.NameUnknown(unknown_pb2.NameUnknownRequest(name=first, display_name="Ada"))
    assert (named.identity.display_name, named.identity.template_count) == ("Ada", named.template_count)
    assert (named.unknown.name, named.unknown.identity) == (first, named.identity.name)
    assert named.unknown.state == unknown_pb2.UNKNOWN_STATE_NAMED
    assert named.gallery_revision == galleries.statistics(hall.gallery).revision
    assert shown(hall) == ["Ada", "", "Ada", ""]
    assert await listed(stub) == [second]
    undone = await stub.UndoOperation(unknown_pb2.UndoOperationRequest(name=named.operation))
    assert (undone.operation.name, undone.operation.undone) == (named.operation, True)
    assert undone.operation.kind == unknown_pb2.OPERATION_KIND_NAME
    assert list(undone.operation.subjects) == [first, named.identity.name]
    assert shown(hall) == [""] * 4
    assert counted == [hall.gallery, hall.gallery]


async def test_a_group_is_named_as_somebody_who_is_enrolled(stub, hall, galleries):
    bob = enrol(galleries, "Bob", face_of(9, 0, dimension=DIMENSION)[None]).identity
    named = await stub.NameUnknown(unknown_pb2.NameUnknownRequest(name=(await listed(stub))[1], identity=bob.name))
    assert named.identity.template_count == 1 + named.template_count
    assert shown(hall) == ["", "Bob", "", "Bob"]


async def test_groups_are_merged_split_ignored_and_deleted(stub, hall):
    first, second = await listed(stub)
    merged = await stub.MergeUnknowns(unknown_pb2.MergeUnknownsRequest(names=[first, second]))
    assert (merged.unknown.name, merged.unknown.sighting_count) == (first, 4)
    got = await stub.GetUnknown(unknown_pb2.GetUnknownRequest(name=second))
    assert got.unknown == merged.unknown
    split = await stub.SplitUnknown(unknown_pb2.SplitUnknownRequest(name=first))
    assert (split.unknown.sighting_count, split.split.sighting_count) == (2, 2)
    ignored = await stub.IgnoreUnknown(unknown_pb2.IgnoreUnknownRequest(name=first))
    assert ignored.unknown.state == unknown_pb2.UNKNOWN_STATE_IGNORED
    assert await listed(stub) == [split.split.name]
    assert await listed(stub, unknown_pb2.UNKNOWN_STATE_IGNORED) == [first]
    back = await stub.IgnoreUnknown(unknown_pb2.IgnoreUnknownRequest(name=first, show=True))
    assert back.unknown.state == unknown_pb2.UNKNOWN_STATE_OPEN
    receipt = (await stub.DeleteUnknown(unknown_pb2.DeleteUnknownRequest(name=first))).receipt
    assert (receipt.name, receipt.sighting_count) == (first, 2)
    assert receipt.delete_time.seconds > 0
    log = await stub.ListOperations(unknown_pb2.ListOperationsRequest(page_size=2))
    rest = await stub.ListOperations(unknown_pb2.ListOperationsRequest(page_size=9, page_token=log.next_page_token))
    kinds = [unknown_pb2.OperationKind.Name(o.kind).rpartition("_")[2] for o in (*log.operations, *rest.operations)]
    assert kinds == ["DELETE", "SHOW", "IGNORE", "SPLIT", "MERGE"]
    assert {o.principal for o in log.operations} == {"anonymous"}


async def test_a_match_is_rejected(stub, hall, sightings):
    first, _ = await listed(stub)
    await stub.NameUnknown(unknown_pb2.NameUnknownRequest(name=first, display_name="Ada"))
    wrong = sightings.list_page(hall.gallery, SightingFilter()).sightings[1].name
    answer = await stub.RejectMatch(unknown_pb2.RejectMatchRequest(sighting=wrong))
    assert (answer.sighting.name, answer.sighting.identity) == (wrong, "")
    assert answer.rejected_identity.startswith(f"{GALLERY}/identities/")
    assert shown(hall) == ["Ada", "", "", ""]
    undone = await stub.UndoOperation(unknown_pb2.UndoOperationRequest())
    assert undone.operation.name == answer.operation
    assert shown(hall) == ["Ada", "", "Ada", ""]


async def test_a_request_that_is_repeated_gets_its_first_answer(stub, hall):
    first, _ = await listed(stub)
    request = unknown_pb2.NameUnknownRequest(name=first, display_name="Ada", request_id=str(uuid.uuid4()))
    assert await stub.NameUnknown(request) == await stub.NameUnknown(request)
    request.display_name = "Bob"
    refused = await refused_by(stub.NameUnknown(request))
    assert (refused.code, refused.reason) == ("FAILED_PRECONDITION", "REQUEST_ID_REUSED")


@pytest.mark.parametrize(
    ("method", "request_", "reason", "field"),
    [
        ("ListUnknowns", unknown_pb2.ListUnknownsRequest(states=[0]), "UNKNOWN_STATE_INVALID", "states[0]"),
        ("ListUnknowns", unknown_pb2.ListUnknownsRequest(page_size=-1), "PAGE_SIZE_INVALID", "page_size"),
        ("GetUnknown", unknown_pb2.GetUnknownRequest(name="x"), "RESOURCE_NAME_INVALID", "name"),
        (
            "GetUnknown",
            unknown_pb2.GetUnknownRequest(name=f"{GALLERY}/unknowns/u", face_limit=101),
            "LIMIT_INVALID",
            "face_limit",
        ),
        (
            "NameUnknown",
            unknown_pb2.NameUnknownRequest(name=f"{GALLERY}/unknowns/u", display_name=" "),
            "DISPLAY_NAME_INVALID",
            "display_name",
        ),
        (
            "NameUnknown",
            unknown_pb2.NameUnknownRequest(
                name=f"{GALLERY}/unknowns/u", display_name="x", identity=f"{GALLERY}/identities/i"
            ),
            "DISPLAY_NAME_UNWANTED",
            "display_name",
        ),
        ("NameUnknown", unknown_pb2.NameUnknownRequest(request_id="7"), "RESOURCE_NAME_INVALID", "name"),
        ("MergeUnknowns", unknown_pb2.MergeUnknownsRequest(names=["u"]), "GROUPS_MISSING", "names"),
        ("MergeUnknowns", unknown_pb2.MergeUnknownsRequest(names=["u", "v"]), "RESOURCE_NAME_INVALID", "names[0]"),
        (
            "SplitUnknown",
            unknown_pb2.SplitUnknownRequest(name=f"{GALLERY}/unknowns/u", sightings=["s"]),
            "RESOURCE_NAME_INVALID",
            "sightings[0]",
        ),
        (
            "DeleteUnknown",
            unknown_pb2.DeleteUnknownRequest(name=f"{GALLERY}/unknowns/u", request_id="7"),
            "REQUEST_ID_INVALID",
            "request_id",
        ),
        ("RejectMatch", unknown_pb2.RejectMatchRequest(sighting="s"), "RESOURCE_NAME_INVALID", "sighting"),
        ("UndoOperation", unknown_pb2.UndoOperationRequest(name="o"), "RESOURCE_NAME_INVALID", "name"),
        (
            "UndoOperation",
            unknown_pb2.UndoOperationRequest(name=f"{GALLERY}/operations/1", gallery=GALLERY),
            "GALLERY_UNWANTED",
            "gallery",
        ),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused_by_its_field(stub, method, request_, reason, field):
    refused = await refused_by(getattr(stub, method)(request_))
    assert (refused.code, refused.reason, refused.field) == ("INVALID_ARGUMENT", reason, field)


@pytest.mark.parametrize(
    ("method", "request_", "reason"),
    [
        ("GetUnknown", unknown_pb2.GetUnknownRequest(name=f"{GALLERY}/unknowns/u"), "UNKNOWN_NOT_FOUND"),
        ("DeleteUnknown", unknown_pb2.DeleteUnknownRequest(name=f"{GALLERY}/unknowns/u"), "UNKNOWN_NOT_FOUND"),
        ("RejectMatch", unknown_pb2.RejectMatchRequest(sighting=f"{GALLERY}/sightings/1"), "SIGHTING_NOT_FOUND"),
        ("UndoOperation", unknown_pb2.UndoOperationRequest(name=f"{GALLERY}/operations/1"), "OPERATION_NOT_FOUND"),
        ("UndoOperation", unknown_pb2.UndoOperationRequest(), "NOTHING_TO_UNDO"),
    ],
)
async def test_what_is_not_there_is_not_found(stub, method, request_, reason):
    refused = await refused_by(getattr(stub, method)(request_))
    assert (refused.code, refused.reason) == ("NOT_FOUND", reason)
