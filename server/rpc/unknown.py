"""UnknownService: conversions around the groups of unknown faces and what admins say of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeAlias, TypeVar

import grpc
from facestream.v1 import unknown_pb2, unknown_pb2_grpc

from server.domain import GalleryName, IdentityName, OperationName, SightingName, UnknownName
from server.errors import InvalidInputError
from server.identity.gallery import Galleries
from server.identity.sightings.book import Sightings
from server.identity.sightings.orders import Order
from server.rpc import wire
from server.rpc.stamps import stamp_of
from server.rpc.wire_sightings import (
    face_messages,
    operation_message,
    sighting_message,
    states_from,
    unknown_message,
)

T = TypeVar("T")
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_MOST_FACES, _DEFAULT_FACES = 100, 16
_MOST_MERGED = 100


class UnknownServicer(unknown_pb2_grpc.UnknownServiceServicer):
    """Answers UnknownService.

    Args:
        sightings: the groups.
        galleries: who is enrolled.
        executor: runs all of it.
        count_people: told of a gallery in which the number of people may have changed.
    """

    def __init__(
        self,
        *,
        sightings: Sightings,
        galleries: Galleries,
        executor: Executor,
        count_people: Callable[[GalleryName], None],
    ) -> None:
        self._sightings = sightings
        self._galleries = galleries
        self._executor = executor
        self._count_people = count_people

    async def ListUnknowns(  # noqa: N802 - the name in the API
        self, request: unknown_pb2.ListUnknownsRequest, context: Context
    ) -> unknown_pb2.ListUnknownsResponse:
        """A page of groups."""
        del context
        gallery = GalleryName.parse(request.gallery)
        states = states_from(request.states)
        page = await self._run(
            lambda: self._sightings.unknowns_page(
                gallery, states, page_size=request.page_size, page_token=request.page_token
            )
        )
        return unknown_pb2.ListUnknownsResponse(
            unknowns=[unknown_message(unknown) for unknown in page.unknowns], next_page_token=page.next_page_token
        )

    async def GetUnknown(  # noqa: N802
        self, request: unknown_pb2.GetUnknownRequest, context: Context
    ) -> unknown_pb2.GetUnknownResponse:
        """One group and its faces."""
        del context
        name = UnknownName.parse(request.name)
        if not 0 <= request.face_limit <= _MOST_FACES:
            raise InvalidInputError(
                "LIMIT_INVALID",
                f"face_limit is {request.face_limit}; write 0 for {_DEFAULT_FACES}, or up to {_MOST_FACES}",
                field="face_limit",
            )
        unknown = await self._run(lambda: self._sightings.unknown(name))
        faces = await self._run(lambda: self._sightings.faces(name, limit=request.face_limit or _DEFAULT_FACES))
        return unknown_pb2.GetUnknownResponse(unknown=unknown_message(unknown), faces=face_messages(faces))

    async def NameUnknown(  # noqa: N802
        self, request: unknown_pb2.NameUnknownRequest, context: Context
    ) -> unknown_pb2.NameUnknownResponse:
        """Says who a group is."""
        del context
        name = UnknownName.parse(request.name)
        identity = IdentityName.parse(request.identity, "identity") if request.identity else None
        order = _order(request.request_id, f"name unknown\n{name}\n{identity}\n{request.display_name}")
        receipt = await self._run(
            lambda: self._sightings.name(name, display_name=request.display_name, identity=identity, order=order)
        )
        await self._run(lambda: self._count_people(name.gallery))
        named = IdentityName.parse(receipt.identity)
        person = await self._run(lambda: self._galleries.get(named))
        return unknown_pb2.NameUnknownResponse(
            unknown=await self._shown(receipt.unknown),
            identity=wire.identity_message(person.identity),
            template_count=receipt.template_count,
            operation=receipt.operation,
            gallery_revision=receipt.revision,
        )

    async def MergeUnknowns(  # noqa: N802
        self, request: unknown_pb2.MergeUnknownsRequest, context: Context
    ) -> unknown_pb2.MergeUnknownsResponse:
        """Says that groups are one person."""
        del context
        if not 2 <= len(request.names) <= _MOST_MERGED:
            raise InvalidInputError(
                "GROUPS_MISSING", f"{len(request.names)} groups to merge; name 2 to {_MOST_MERGED}", field="names"
            )
        names = [UnknownName.parse(name, f"names[{i}]") for i, name in enumerate(request.names)]
        order = _order(request.request_id, "merge unknowns\n" + "\n".join(map(str, names)))
        receipt = await self._run(lambda: self._sightings.merge(names, order=order))
        return unknown_pb2.MergeUnknownsResponse(
            unknown=await self._shown(receipt.unknown), operation=receipt.operation
        )

    async def SplitUnknown(  # noqa: N802
        self, request: unknown_pb2.SplitUnknownRequest, context: Context
    ) -> unknown_pb2.SplitUnknownResponse:
        """Says that a group is two people."""
        del context
        name = UnknownName.parse(request.name)
        leaving = [SightingName.parse(text, f"sightings[{i}]") for i, text in enumerate(request.sightings)]
        order = _order(request.request_id, f"split unknown\n{name}\n" + "\n".join(map(str, leaving)))
        receipt = await self._run(lambda: self._sightings.split(name, leaving, order=order))
        return unknown_pb2.SplitUnknownResponse(
            unknown=await self._shown(receipt.unknown),
            split=await self._shown(receipt.other),
            operation=receipt.operation,
        )

    async def IgnoreUnknown(  # noqa: N802
        self, request: unknown_pb2.IgnoreUnknownRequest, context: Context
    ) -> unknown_pb2.IgnoreUnknownResponse:
        """Hides a group or shows it again."""
        del context
        name = UnknownName.parse(request.name)
        order = _order(request.request_id, f"ignore unknown\n{name}\n{request.show}")
        receipt = await self._run(lambda: self._sightings.ignore(name, ignored=not request.show, order=order))
        return unknown_pb2.IgnoreUnknownResponse(
            unknown=await self._shown(receipt.unknown), operation=receipt.operation
        )

    async def DeleteUnknown(  # noqa: N802
        self, request: unknown_pb2.DeleteUnknownRequest, context: Context
    ) -> unknown_pb2.DeleteUnknownResponse:
        """Removes a group and everything that was kept of it."""
        del context
        name = UnknownName.parse(request.name)
        order = _order(request.request_id, f"delete unknown\n{name}")
        receipt = await self._run(lambda: self._sightings.delete(name, order=order))
        return unknown_pb2.DeleteUnknownResponse(
            receipt=unknown_pb2.UnknownDeletionReceipt(
                name=receipt.name,
                sighting_count=receipt.sighting_count,
                delete_time=wire.timestamp(receipt.deleted_at_ns),
            )
        )

    async def RejectMatch(  # noqa: N802
        self, request: unknown_pb2.RejectMatchRequest, context: Context
    ) -> unknown_pb2.RejectMatchResponse:
        """Says that a sighting does not show whom it is said to show."""
        del context
        name = SightingName.parse(request.sighting, "sighting")
        order = _order(request.request_id, f"reject match\n{name}")
        receipt = await self._run(lambda: self._sightings.reject(name, order=order))
        sighting, _ = await self._run(lambda: self._sightings.get(name))
        return unknown_pb2.RejectMatchResponse(
            sighting=sighting_message(sighting),
            rejected_identity=receipt.identity,
            operation=receipt.operation,
            gallery_revision=receipt.revision,
        )

    async def ListOperations(  # noqa: N802
        self, request: unknown_pb2.ListOperationsRequest, context: Context
    ) -> unknown_pb2.ListOperationsResponse:
        """A page of what admins did."""
        del context
        gallery = GalleryName.parse(request.gallery)
        page = await self._run(
            lambda: self._sightings.operations_page(gallery, page_size=request.page_size, page_token=request.page_token)
        )
        return unknown_pb2.ListOperationsResponse(
            operations=[operation_message(operation) for operation in page.operations],
            next_page_token=page.next_page_token,
        )

    async def UndoOperation(  # noqa: N802
        self, request: unknown_pb2.UndoOperationRequest, context: Context
    ) -> unknown_pb2.UndoOperationResponse:
        """Takes an operation back."""
        del context
        if request.name and request.gallery:
            raise InvalidInputError("GALLERY_UNWANTED", "leave gallery empty when name is set", field="gallery")
        what = OperationName.parse(request.name) if request.name else GalleryName.parse(request.gallery)
        order = _order(request.request_id, f"undo\n{what}")
        receipt = await self._run(lambda: self._sightings.undo(what, order=order))
        operation = OperationName.parse(receipt.operation)
        await self._run(lambda: self._count_people(operation.gallery))
        undone = await self._run(lambda: self._sightings.operation(operation))
        return unknown_pb2.UndoOperationResponse(operation=operation_message(undone), gallery_revision=receipt.revision)

    async def _shown(self, name: str) -> unknown_pb2.Unknown:
        return unknown_message(await self._run(lambda: self._sightings.unknown(UnknownName.parse(name))))

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def _order(request_id: str, content: str) -> Order:
    return Order(at_ns=time.time_ns(), request=stamp_of(request_id, content))
