"""People who were seen and are not enrolled: who they are, and who they are not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import grpc
from facestream.v1 import unknown_pb2, unknown_pb2_grpc

from clients.calls import Calls, request_id
from clients.names import resource_name
from clients.seen import (
    Correction,
    Naming,
    Operation,
    Split,
    UnknownDetails,
    UnknownPerson,
    UnknownReceipt,
    UnknownState,
)
from clients.wire.seen import (
    read_correction,
    read_naming,
    read_operation,
    read_split,
    read_unknown,
    read_unknown_details,
    read_unknown_receipt,
    state_number,
)

_PAGE = 500


class Unknowns:
    """The unknown people of one gallery; `Client.unknowns`.

    Groups, sightings, people and operations may be given by resource name, or by id when they are of this gallery. What
    changes something is done once however often the call is repeated, and can be undone, except a deletion.
    """

    def __init__(self, calls: Calls, channel: grpc.aio.Channel, gallery: str) -> None:
        self._calls = calls
        self._gallery = gallery
        self._stub = unknown_pb2_grpc.UnknownServiceStub(channel)

    async def list(self, *states: UnknownState) -> AsyncIterator[UnknownPerson]:
        """Groups in one of these states in the order of their beginning; of no state in particular means open ones."""
        request = unknown_pb2.ListUnknownsRequest(
            gallery=self._gallery, page_size=_PAGE, states=[state_number(state) for state in states]
        )
        while True:
            page = await self._calls.read(self._stub.ListUnknowns, request)
            for unknown in page.unknowns:
                yield read_unknown(unknown)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def get(self, name: str, *, face_limit: int = 0) -> UnknownDetails:
        """A group and its faces, the best first; 0 means the server's default number of faces.

        Raises:
            NotFoundError: there is no such group.
        """
        request = unknown_pb2.GetUnknownRequest(name=self._unknown(name), face_limit=face_limit)
        return read_unknown_details(await self._calls.read(self._stub.GetUnknown, request))

    async def name(self, name: str, display_name: str = "", *, identity: str = "") -> Naming:
        """Says who a group is: a new person of this display name, or an identity that is there.

        Raises:
            NotFoundError: there is no such group or identity.
            RefusedError: it has a name, or no face of it is good enough to recognise a new person by.
        """
        request = unknown_pb2.NameUnknownRequest(
            name=self._unknown(name),
            display_name=display_name,
            identity=identity and resource_name(self._gallery, "identities", identity),
            request_id=request_id(),
        )
        return read_naming(await self._calls.write(self._stub.NameUnknown, request))

    async def merge(self, names: Sequence[str]) -> Correction:
        """Says that groups are one person; the answer tells which one took in the others.

        Raises:
            NotFoundError: one is not there.
            RefusedError: one has a name.
        """
        request = unknown_pb2.MergeUnknownsRequest(
            names=[self._unknown(name) for name in names], request_id=request_id()
        )
        return read_correction(await self._calls.write(self._stub.MergeUnknowns, request))

    async def split(self, name: str, sightings: Sequence[str] = ()) -> Split:
        """Says that a group is two people: these sightings, or the two most distinct halves when none is given.

        Raises:
            NotFoundError: there is no such group.
            InvalidRequestError: a sighting is not of this group, or nothing would be left of one.
        """
        request = unknown_pb2.SplitUnknownRequest(
            name=self._unknown(name),
            sightings=[resource_name(self._gallery, "sightings", sighting) for sighting in sightings],
            request_id=request_id(),
        )
        return read_split(await self._calls.write(self._stub.SplitUnknown, request))

    async def ignore(self, name: str, *, show: bool = False) -> Correction:
        """Hides a group and its sightings, or shows them again.

        Raises:
            NotFoundError: there is no such group.
            RefusedError: it has a name.
        """
        request = unknown_pb2.IgnoreUnknownRequest(name=self._unknown(name), show=show, request_id=request_id())
        return read_correction(await self._calls.write(self._stub.IgnoreUnknown, request))

    async def delete(self, name: str) -> UnknownReceipt:
        """Removes a group and everything that was kept of its sightings; there is no way back.

        Raises:
            NotFoundError: there is no such group.
            RefusedError: it has a name.
        """
        request = unknown_pb2.DeleteUnknownRequest(name=self._unknown(name), request_id=request_id())
        return read_unknown_receipt((await self._calls.write(self._stub.DeleteUnknown, request)).receipt)

    async def operations(self) -> AsyncIterator[Operation]:
        """What admins did, the newest first."""
        request = unknown_pb2.ListOperationsRequest(gallery=self._gallery, page_size=_PAGE)
        while True:
            page = await self._calls.read(self._stub.ListOperations, request)
            for operation in page.operations:
                yield read_operation(operation)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def undo(self, operation: str = "") -> Operation:
        """Takes an operation back; the last one that can be without a name.

        Raises:
            NotFoundError: there is no such operation, or none that can be undone.
            RefusedError: it was undone before, has no way back, or a later one stands in the way.
        """
        name = operation and resource_name(self._gallery, "operations", operation)
        request = unknown_pb2.UndoOperationRequest(
            gallery="" if name else self._gallery, name=name, request_id=request_id()
        )
        return read_operation((await self._calls.write(self._stub.UndoOperation, request)).operation)

    def _unknown(self, name: str) -> str:
        return resource_name(self._gallery, "unknowns", name)
