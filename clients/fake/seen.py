"""The fake SightingService and UnknownService: sightings and groups in dictionaries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import grpc
from facestream.v1 import face_pb2, gallery_pb2, sighting_pb2, sighting_pb2_grpc, unknown_pb2, unknown_pb2_grpc

from clients.fake.gallery import DEFAULT_GALLERY, FakeGallery, refuse
from clients.fake.script import THRESHOLD, found_face

_AnswerT = TypeVar("_AnswerT")
Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class FakeSightings(sighting_pb2_grpc.SightingServiceServicer):
    """Keeps sightings in memory.

    Attributes:
        sightings: by resource name, the oldest first.
        crops: by resource name.
        events: what watchers are told after `ready`; a watch ends when it holds None.
        page_size: sightings per page at most.
        listed: the requests for lists that came.
    """

    def __init__(self) -> None:
        self.sightings: dict[str, sighting_pb2.Sighting] = {}
        self.crops: dict[str, bytes] = {}
        self.events: asyncio.Queue[sighting_pb2.WatchSightingsResponse | None] = asyncio.Queue()
        self.page_size = 2
        self.listed: list[sighting_pb2.ListSightingsRequest] = []

    def add(self, *, camera: str = "door", at_s: int = 0, crop: bytes = b"", **fields: Any) -> sighting_pb2.Sighting:  # noqa: ANN401
        """Adds a sighting of two seconds."""
        number = len(self.sightings) + 1
        sighting = sighting_pb2.Sighting(
            name=f"{DEFAULT_GALLERY}/sightings/{number}",
            camera=camera,
            track=f"track-{number}",
            frame_count=30,
            ended=True,
            threshold=THRESHOLD,
            quality=face_pb2.Quality(score=0.8),
            **fields,
        )
        sighting.first_seen_time.FromSeconds(at_s)
        sighting.last_seen_time.FromSeconds(at_s + 2)
        sighting.best_time.FromSeconds(at_s + 1)
        self.sightings[sighting.name] = sighting
        self.crops[sighting.name] = crop
        return sighting

    async def ListSightings(  # noqa: N802 - the name in the API
        self, request: sighting_pb2.ListSightingsRequest, context: Context
    ) -> sighting_pb2.ListSightingsResponse:
        """Pages, filtered by group, person and camera; the token is the number of sightings before."""
        del context
        self.listed.append(request)
        found = [
            sighting
            for sighting in reversed(self.sightings.values())
            if request.camera in ("", sighting.camera)
            and request.unknown in ("", sighting.unknown)
            and request.identity in ("", sighting.identity)
            and (request.include_ignored or not sighting.ignored)
        ]
        start = int(request.page_token or 0)
        end = start + min(self.page_size, request.page_size or self.page_size)
        return sighting_pb2.ListSightingsResponse(
            sightings=found[start:end], next_page_token=str(end) if end < len(found) else ""
        )

    async def GetSighting(  # noqa: N802
        self, request: sighting_pb2.GetSightingRequest, context: Context
    ) -> sighting_pb2.GetSightingResponse:
        """One sighting."""
        sighting = await self.find(request.name, context)
        return sighting_pb2.GetSightingResponse(sighting=sighting, crop=self.crops[sighting.name])

    async def WatchSightings(  # type: ignore[override]  # noqa: N802
        self, request: sighting_pb2.WatchSightingsRequest, context: Context
    ) -> None:
        """The scripted events."""
        del request
        await context.write(sighting_pb2.WatchSightingsResponse(ready=sighting_pb2.WatchReady()))
        while (event := await self.events.get()) is not None:
            await context.write(event)
        await refuse(context, grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING", "the server is stopping")

    async def SearchSightings(  # noqa: N802
        self, request: sighting_pb2.SearchSightingsRequest, context: Context
    ) -> sighting_pb2.SearchSightingsResponse:
        """Every sighting, each a little farther than the one before."""
        del context
        candidates = [
            sighting_pb2.SightingCandidate(sighting=sighting, distance=0.5 + i, within_threshold=0.5 + i <= THRESHOLD)
            for i, sighting in enumerate(self.sightings.values())
            if request.include_identified or not sighting.identity
        ]
        face = sighting_pb2.FaceSightings(face=found_face(), candidates=candidates[: request.limit or 20])
        return sighting_pb2.SearchSightingsResponse(
            faces=[face], threshold=THRESHOLD, searched_count=len(self.sightings)
        )

    async def find(self, name: str, context: Context) -> sighting_pb2.Sighting:
        """A sighting; ends the call when it is not there."""
        if name not in self.sightings:
            await refuse(context, grpc.StatusCode.NOT_FOUND, "SIGHTING_NOT_FOUND", f"there is no {name}")
        return self.sightings[name]


class FakeUnknowns(unknown_pb2_grpc.UnknownServiceServicer):
    """Keeps groups and operations in memory. Undoing marks an operation and changes nothing else.

    Attributes:
        unknowns: by resource name, in the order of their beginning.
        operations: the oldest first.
        requests: ids of the writes that came, repeated ones too.
        fail: errors to answer to writes, the next one first; they come after the change was made.
        page_size: groups and operations per page at most.
    """

    def __init__(self, gallery: FakeGallery, sightings: FakeSightings) -> None:
        self.unknowns: dict[str, unknown_pb2.Unknown] = {}
        self.operations: list[unknown_pb2.Operation] = []
        self.requests: list[str] = []
        self.fail: list[grpc.StatusCode] = []
        self.page_size = 2
        self._gallery = gallery
        self._sightings = sightings
        self._answers: dict[str, Any] = {}

    def add(self, unknown_id: str, *, sightings: int = 2, **fields: Any) -> unknown_pb2.Unknown:  # noqa: ANN401
        """Adds a group with so many sightings."""
        name = f"{DEFAULT_GALLERY}/unknowns/{unknown_id}"
        seen = [self._sightings.add(unknown=name, at_s=10 * i, **fields) for i in range(sightings)]
        unknown = unknown_pb2.Unknown(
            name=name,
            state=unknown_pb2.UNKNOWN_STATE_OPEN,
            sighting_count=sightings,
            cameras=sorted({each.camera for each in seen}),
            best_sighting=seen[0].name if seen else "",
        )
        if seen:
            unknown.first_seen_time.CopyFrom(seen[0].first_seen_time)
            unknown.last_seen_time.CopyFrom(seen[-1].last_seen_time)
        self.unknowns[name] = unknown
        return unknown

    async def ListUnknowns(  # noqa: N802
        self, request: unknown_pb2.ListUnknownsRequest, context: Context
    ) -> unknown_pb2.ListUnknownsResponse:
        """Pages of groups in the states that are wanted."""
        del context
        states = set(request.states) or {unknown_pb2.UNKNOWN_STATE_OPEN}
        found = [unknown for unknown in self.unknowns.values() if unknown.state in states]
        page, token = self._page(found, request.page_token)
        return unknown_pb2.ListUnknownsResponse(unknowns=page, next_page_token=token)

    async def GetUnknown(  # noqa: N802
        self, request: unknown_pb2.GetUnknownRequest, context: Context
    ) -> unknown_pb2.GetUnknownResponse:
        """A group and its faces."""
        unknown = await self._find(request.name, context)
        faces = [
            unknown_pb2.UnknownFace(sighting=sighting, crop=self._sightings.crops[sighting.name])
            for sighting in self._of(unknown)
        ]
        return unknown_pb2.GetUnknownResponse(unknown=unknown, faces=faces[: request.face_limit or 16])

    async def NameUnknown(  # noqa: N802
        self, request: unknown_pb2.NameUnknownRequest, context: Context
    ) -> unknown_pb2.NameUnknownResponse:
        """Makes or takes an identity; the sightings show it."""
        unknown = await self._find(request.name, context)

        def named() -> unknown_pb2.NameUnknownResponse:
            known = self._gallery.identities.get(request.identity)
            identity = known or self._gallery.add(request.display_name)
            unknown.state, unknown.identity = unknown_pb2.UNKNOWN_STATE_NAMED, identity.name
            unknown.display_name = identity.display_name
            for sighting in self._of(unknown):
                sighting.identity, sighting.display_name = identity.name, identity.display_name
            operation = self._log(unknown_pb2.OPERATION_KIND_NAME, unknown.name, identity.name)
            return unknown_pb2.NameUnknownResponse(
                unknown=unknown, identity=_copied(identity), template_count=2, operation=operation, gallery_revision=7
            )

        return await self._write(request.request_id, named, context)

    async def MergeUnknowns(  # noqa: N802
        self, request: unknown_pb2.MergeUnknownsRequest, context: Context
    ) -> unknown_pb2.MergeUnknownsResponse:
        """The first takes in the others."""
        first, *others = [await self._find(name, context) for name in request.names]

        def merged() -> unknown_pb2.MergeUnknownsResponse:
            for other in others:
                for sighting in self._of(other):
                    sighting.unknown = first.name
                first.sighting_count += other.sighting_count
                del self.unknowns[other.name]
            operation = self._log(unknown_pb2.OPERATION_KIND_MERGE, *request.names)
            return unknown_pb2.MergeUnknownsResponse(unknown=first, operation=operation)

        return await self._write(request.request_id, merged, context)

    async def SplitUnknown(  # noqa: N802
        self, request: unknown_pb2.SplitUnknownRequest, context: Context
    ) -> unknown_pb2.SplitUnknownResponse:
        """The sightings that are named leave, or the last one."""
        unknown = await self._find(request.name, context)

        def parted() -> unknown_pb2.SplitUnknownResponse:
            leaving = list(request.sightings) or [self._of(unknown)[-1].name]
            other = self.add(f"{unknown.name.rpartition('/')[2]}-2", sightings=0)
            for name in leaving:
                self._sightings.sightings[name].unknown = other.name
            other.sighting_count, unknown.sighting_count = len(leaving), unknown.sighting_count - len(leaving)
            operation = self._log(unknown_pb2.OPERATION_KIND_SPLIT, unknown.name, other.name)
            return unknown_pb2.SplitUnknownResponse(unknown=unknown, split=other, operation=operation)

        return await self._write(request.request_id, parted, context)

    async def IgnoreUnknown(  # noqa: N802
        self, request: unknown_pb2.IgnoreUnknownRequest, context: Context
    ) -> unknown_pb2.IgnoreUnknownResponse:
        """Hides or shows."""
        unknown = await self._find(request.name, context)

        def hidden() -> unknown_pb2.IgnoreUnknownResponse:
            show = request.show
            unknown.state = unknown_pb2.UNKNOWN_STATE_OPEN if show else unknown_pb2.UNKNOWN_STATE_IGNORED
            kind = unknown_pb2.OPERATION_KIND_SHOW if show else unknown_pb2.OPERATION_KIND_IGNORE
            return unknown_pb2.IgnoreUnknownResponse(unknown=unknown, operation=self._log(kind, unknown.name))

        return await self._write(request.request_id, hidden, context)

    async def DeleteUnknown(  # noqa: N802
        self, request: unknown_pb2.DeleteUnknownRequest, context: Context
    ) -> unknown_pb2.DeleteUnknownResponse:
        """Removes the group and its sightings; one that has a name is refused."""
        if request.request_id not in self._answers:
            unknown = await self._find(request.name, context)
            if unknown.identity:
                message = f"{unknown.name} was named"
                await refuse(context, grpc.StatusCode.FAILED_PRECONDITION, "UNKNOWN_NAMED", message)

        def deleted() -> unknown_pb2.DeleteUnknownResponse:
            for sighting in self._of(self.unknowns[request.name]):
                del self._sightings.sightings[sighting.name]
            gone = self.unknowns.pop(request.name)
            self._log(unknown_pb2.OPERATION_KIND_DELETE, gone.name)
            receipt = unknown_pb2.UnknownDeletionReceipt(name=gone.name, sighting_count=gone.sighting_count)
            receipt.delete_time.GetCurrentTime()
            return unknown_pb2.DeleteUnknownResponse(receipt=receipt)

        return await self._write(request.request_id, deleted, context)

    async def RejectMatch(  # noqa: N802
        self, request: unknown_pb2.RejectMatchRequest, context: Context
    ) -> unknown_pb2.RejectMatchResponse:
        """The sighting shows nobody; one that shows nobody is refused."""
        sighting = await self._sightings.find(request.sighting, context)
        if not sighting.identity and request.request_id not in self._answers:
            message = f"{sighting.name} shows nobody who is enrolled"
            await refuse(context, grpc.StatusCode.FAILED_PRECONDITION, "NOT_IDENTIFIED", message)

        def rejected() -> unknown_pb2.RejectMatchResponse:
            identity, sighting.identity, sighting.display_name = sighting.identity, "", ""
            operation = self._log(unknown_pb2.OPERATION_KIND_REJECT, sighting.name, identity)
            return unknown_pb2.RejectMatchResponse(
                sighting=sighting, rejected_identity=identity, operation=operation, gallery_revision=8
            )

        return await self._write(request.request_id, rejected, context)

    async def ListOperations(  # noqa: N802
        self, request: unknown_pb2.ListOperationsRequest, context: Context
    ) -> unknown_pb2.ListOperationsResponse:
        """Pages, the newest first."""
        del context
        page, token = self._page(self.operations[::-1], request.page_token)
        return unknown_pb2.ListOperationsResponse(operations=page, next_page_token=token)

    async def UndoOperation(  # noqa: N802
        self, request: unknown_pb2.UndoOperationRequest, context: Context
    ) -> unknown_pb2.UndoOperationResponse:
        """Marks an operation, the last one when none is named."""
        found = [each for each in self.operations if request.name in ("", each.name) and not each.undone]
        if not found:
            await refuse(context, grpc.StatusCode.NOT_FOUND, "NOTHING_TO_UNDO", "no operation can be undone")
        self.requests.append(request.request_id)
        found[-1].undone = True
        return unknown_pb2.UndoOperationResponse(operation=found[-1], gallery_revision=9)

    def _of(self, unknown: unknown_pb2.Unknown) -> list[sighting_pb2.Sighting]:
        return [each for each in self._sightings.sightings.values() if each.unknown == unknown.name]

    def _page(self, found: Sequence[Any], token: str) -> tuple[Sequence[Any], str]:
        start = int(token or 0)
        end = start + self.page_size
        return found[start:end], str(end) if end < len(found) else ""

    def _log(self, kind: unknown_pb2.OperationKind.ValueType, *subjects: str) -> str:
        name = f"{DEFAULT_GALLERY}/operations/{len(self.operations) + 1}"
        operation = unknown_pb2.Operation(name=name, kind=kind, principal="anonymous", subjects=subjects)
        operation.create_time.GetCurrentTime()
        self.operations.append(operation)
        return name

    async def _find(self, name: str, context: Context) -> unknown_pb2.Unknown:
        if name not in self.unknowns:
            await refuse(context, grpc.StatusCode.NOT_FOUND, "UNKNOWN_NOT_FOUND", f"there is no {name}")
        return self.unknowns[name]

    async def _write(self, request_id: str, work: Callable[[], _AnswerT], context: Context) -> _AnswerT:
        """Does what a request asks for once. The failure comes after: a client that repeats must not do it twice."""
        self.requests.append(request_id)
        if request_id not in self._answers:
            self._answers[request_id] = work()
        if self.fail:
            await context.abort(self.fail.pop(0), "scripted")
        answer: _AnswerT = self._answers[request_id]
        return answer


def _copied(identity: gallery_pb2.Identity) -> gallery_pb2.Identity:
    copy = gallery_pb2.Identity()
    copy.CopyFrom(identity)
    return copy
