"""Who was seen where and when."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import grpc
from facestream.v1 import sighting_pb2, sighting_pb2_grpc, unknown_pb2, unknown_pb2_grpc

from clients.calls import Calls, request_id
from clients.names import resource_name
from clients.photos import Photo
from clients.rpc import error_of_call
from clients.seen import PastSearch, RecordedSighting, Rejection, SightingEvent, SightingQuery
from clients.wire.requests import image_of
from clients.wire.seen import list_request, read_event, read_past, read_rejection, read_sighting

_PAGE = 500
_EVERYTHING = SightingQuery()


class Sightings:
    """The sightings of one gallery; `Client.sightings`.

    Sightings, groups and people may be given by resource name, or by id when they are of this gallery.
    """

    def __init__(self, calls: Calls, channel: grpc.aio.Channel, gallery: str) -> None:
        self._calls = calls
        self._gallery = gallery
        self._stub = sighting_pb2_grpc.SightingServiceStub(channel)
        self._unknowns = unknown_pb2_grpc.UnknownServiceStub(channel)

    async def list(self, query: SightingQuery = _EVERYTHING) -> AsyncIterator[RecordedSighting]:
        """Sightings, the newest first, under the names of now."""
        wanted = replace(
            query,
            identity=query.identity and resource_name(self._gallery, "identities", query.identity),
            unknown=query.unknown and resource_name(self._gallery, "unknowns", query.unknown),
        )
        request = list_request(wanted, gallery=self._gallery, page_size=_PAGE)
        while True:
            page = await self._calls.read(self._stub.ListSightings, request)
            for sighting in page.sightings:
                yield read_sighting(sighting)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def get(self, name: str) -> tuple[RecordedSighting, bytes]:
        """A sighting and the JPEG of its best look, empty when crops are not kept.

        Raises:
            NotFoundError: there is no such sighting.
        """
        request = sighting_pb2.GetSightingRequest(name=resource_name(self._gallery, "sightings", name))
        response = await self._calls.read(self._stub.GetSighting, request)
        return read_sighting(response.sighting), response.crop

    async def watch(self, *, camera: str = "", include_ignored: bool = False) -> AsyncIterator[SightingEvent]:
        """Sightings as they come and change, and people as they get other names, from the `WatchBegan` on.

        It comes first: whoever lists sightings after it misses none.

        Raises:
            UnavailableError: the server stops or is out of reach.
            ExhaustedError: too much was left unread.
        """
        request = sighting_pb2.WatchSightingsRequest(
            gallery=self._gallery, camera=camera, include_ignored=include_ignored
        )
        try:
            async for message in self._stub.WatchSightings(request, wait_for_ready=False):
                event = read_event(message)
                if event is not None:
                    yield event
        except grpc.aio.AioRpcError as error:
            raise error_of_call(error, self._calls.target) from error

    async def search(
        self, photo: Photo, *, limit: int = 0, target_far: float = 0.0, include_identified: bool = False
    ) -> PastSearch:
        """The sightings nearest to each face of a photograph: was this person here before? 0 means the default."""
        request = sighting_pb2.SearchSightingsRequest(
            gallery=self._gallery,
            image=image_of(photo),
            limit=limit,
            target_far=target_far,
            include_identified=include_identified,
        )
        return read_past(await self._calls.read(self._stub.SearchSightings, request))

    async def reject(self, name: str) -> Rejection:
        """Says that a sighting does not show whom it is said to show; no face like it ever will.

        Raises:
            NotFoundError: there is no such sighting.
            RefusedError: it shows nobody, or is all that the person is known by.
        """
        request = unknown_pb2.RejectMatchRequest(
            sighting=resource_name(self._gallery, "sightings", name), request_id=request_id()
        )
        return read_rejection(await self._calls.write(self._unknowns.RejectMatch, request))
