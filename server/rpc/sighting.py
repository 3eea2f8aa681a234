"""SightingService: conversions around the sightings, and telling those who watch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import Any, TypeAlias, TypeVar

import grpc
from facestream.v1 import sighting_pb2, sighting_pb2_grpc

from server.domain import GalleryName, IdentityName, SightingName, UnknownName
from server.errors import InvalidInputError, NotFoundError, UnavailableError
from server.identity.gallery import Galleries
from server.identity.sightings.book import Sightings
from server.identity.sightings.records import Sighting
from server.identity.sightings.watching import News, Watch
from server.pipeline.recognise import Recogniser
from server.pipeline.search import PastQuery, search_past
from server.rpc import wire
from server.rpc.wire_sightings import candidate_message, filter_from, sighting_message
from server.rpc.writing import write

_log = logging.getLogger(__name__)

T = TypeVar("T")
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Told: TypeAlias = sighting_pb2.WatchSightingsResponse

_MOST_CANDIDATES, _DEFAULT_CANDIDATES = 100, 20


class SightingServicer(sighting_pb2_grpc.SightingServiceServicer):
    """Answers SightingService.

    Args:
        sightings: who was seen where.
        galleries: who is enrolled.
        recogniser: finds the faces of a photograph to search for.
        executor: runs all of it.
        target_far: the server's default.
        draining: set when the server is about to stop.
    """

    def __init__(
        self,
        *,
        sightings: Sightings,
        galleries: Galleries,
        recogniser: Recogniser,
        executor: Executor,
        target_far: float,
        draining: asyncio.Event,
    ) -> None:
        self._sightings = sightings
        self._galleries = galleries
        self._recogniser = recogniser
        self._executor = executor
        self._target_far = target_far
        self._draining = draining

    async def ListSightings(  # noqa: N802 - the name in the API
        self, request: sighting_pb2.ListSightingsRequest, context: Context
    ) -> sighting_pb2.ListSightingsResponse:
        """A page of sightings."""
        del context
        gallery = GalleryName.parse(request.gallery)
        wanted = filter_from(request)
        page = await self._run(
            lambda: self._sightings.list_page(
                gallery, wanted, page_size=request.page_size, page_token=request.page_token
            )
        )
        return sighting_pb2.ListSightingsResponse(
            sightings=[sighting_message(sighting) for sighting in page.sightings],
            next_page_token=page.next_page_token,
        )

    async def GetSighting(  # noqa: N802
        self, request: sighting_pb2.GetSightingRequest, context: Context
    ) -> sighting_pb2.GetSightingResponse:
        """One sighting and its crop."""
        del context
        name = SightingName.parse(request.name)
        sighting, crop = await self._run(lambda: self._sightings.get(name))
        return sighting_pb2.GetSightingResponse(sighting=sighting_message(sighting), crop=crop)

    async def SearchSightings(  # noqa: N802
        self, request: sighting_pb2.SearchSightingsRequest, context: Context
    ) -> sighting_pb2.SearchSightingsResponse:
        """The sightings nearest to each face of a photograph."""
        del context
        query = PastQuery(
            gallery=GalleryName.parse(request.gallery),
            far=wire.far_from(request.target_far, self._target_far),
            limit=_limit(request.limit),
            include_identified=request.include_identified,
        )
        image = wire.image_from(request.image)
        found = await self._run(lambda: search_past(self._recogniser, self._sightings, image, query))
        faces = [
            sighting_pb2.FaceSightings(
                face=face, candidates=[candidate_message(near, found.threshold) for near in candidates]
            )
            for face, candidates in zip(wire.analysed_faces(found.analysis), found.candidates, strict=True)
        ]
        return sighting_pb2.SearchSightingsResponse(
            faces=faces, threshold=found.threshold, searched_count=found.searched_count
        )

    # grpc.aio takes a coroutine that writes to the context too; the generated type knows iterators only.
    async def WatchSightings(  # type: ignore[override]  # noqa: N802
        self, request: sighting_pb2.WatchSightingsRequest, context: Context
    ) -> None:
        """Sightings as they come and change, until the client leaves or the server stops."""
        gallery = GalleryName.parse(request.gallery)
        loop, news = asyncio.get_running_loop(), asyncio.Event()
        watch = self._sightings.watch(gallery, lambda: loop.call_soon_threadsafe(news.set))
        try:
            await write(context, Told(ready=sighting_pb2.WatchReady()))
            while True:
                stopping = await self._news_or_stop(news)
                for told in await self._run(lambda: list(self._told(request, watch, watch.take()))):
                    await write(context, told)
                if stopping:
                    raise UnavailableError("SERVER_DRAINING", "the server is stopping; watch again in a moment")
        except ConnectionError:
            _log.info("watcher gone")
        finally:
            self._sightings.unwatch(watch)

    async def _news_or_stop(self, news: asyncio.Event) -> bool:
        """Waits for news, which are then no longer new, or for the server to stop; whether it does."""
        waits = [asyncio.create_task(event.wait()) for event in (news, self._draining)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        news.clear()
        return self._draining.is_set()

    def _told(self, request: sighting_pb2.WatchSightingsRequest, watch: Watch, news: News) -> Iterator[Told]:
        for name in news.people:
            yield Told(person=self._person(name))
        for sighting in self._sightings.by_key(watch.gallery, news.sightings):
            if _wanted(sighting, request):
                yield Told(sighting=sighting_message(sighting))
        for key in news.deleted:
            yield Told(deleted_sighting=watch.gallery.sighting(key))

    def _person(self, name: str) -> sighting_pb2.PersonChange:
        """Who an identity or a group is now."""
        try:
            if "/identities/" in name:
                identity = self._galleries.get(IdentityName.parse(name)).identity
                return sighting_pb2.PersonChange(name=name, now=name, display_name=identity.display_name)
            unknown = self._sightings.unknown(UnknownName.parse(name))
        except NotFoundError:
            return sighting_pb2.PersonChange(name=name)
        return sighting_pb2.PersonChange(
            name=name, now=unknown.identity or unknown.name, display_name=unknown.display_name
        )

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def _wanted(sighting: Sighting, request: sighting_pb2.WatchSightingsRequest) -> bool:
    if request.camera and sighting.camera != request.camera:
        return False
    return request.include_ignored or not sighting.person.ignored


def _limit(asked: int) -> int:
    if not 0 <= asked <= _MOST_CANDIDATES:
        raise InvalidInputError(
            "LIMIT_INVALID",
            f"limit is {asked}; write 0 for {_DEFAULT_CANDIDATES}, or up to {_MOST_CANDIDATES}",
            field="limit",
        )
    return asked or _DEFAULT_CANDIDATES
