"""Everything that a program does with a server, in one object."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from facestream.v1 import (
    gallery_pb2,
    gallery_pb2_grpc,
    recognition_pb2,
    recognition_pb2_grpc,
    server_pb2,
    server_pb2_grpc,
)
from grpc_health.v1 import health_pb2, health_pb2_grpc

from clients.calls import Calls, request_id
from clients.channel import DEFAULT_TARGET, open_channel
from clients.checkup import Checkup
from clients.enrolment import enrol_all
from clients.errors import Cause, NotFoundError, RefusedError, RpcError
from clients.frames import Recognition
from clients.names import gallery_name, identity_name
from clients.options import StreamOptions
from clients.people import (
    EmbeddedFace,
    Enrollee,
    Enrolment,
    Health,
    Identity,
    IdentityDetails,
    PhotoOutcome,
    Receipt,
    SearchResult,
    Status,
    Verification,
)
from clients.photos import Photo
from clients.session import RecognitionStream
from clients.sightings import Sightings
from clients.sources.source import PacketSource, Source
from clients.statistics import ServerStatistics
from clients.text import comparable, composed, printable
from clients.unknowns import Unknowns
from clients.wire.checkup import read_checkup
from clients.wire.faces import read_recognition
from clients.wire.people import (
    read_details,
    read_embeddings,
    read_enrolment,
    read_identity,
    read_receipt,
    read_search,
    read_server,
    read_statistics,
    read_verification,
)
from clients.wire.requests import enrol_request, image_of
from clients.wire.statistics import read_server_statistics

_PAGE = 500
_SECONDS_PER_PHOTO = 2.0
_CHECK_S = 60.0
"""More time for a check, which searches for up to 5,000 templates."""


def _unheard(outcomes: Sequence[PhotoOutcome]) -> None:
    """Nobody wants to know."""


class Client:
    """A connection to one server and one of its galleries.

        async with Client("localhost:50051") as client:
            await client.enrol("Ada Lovelace", [read_photo(Path("ada.jpg"))])

    Every method raises an `RpcError` when the server refuses or cannot be reached. Reads are repeated a few times
    while the server is out of reach; writes too, under one request id, so that they happen once.

    Args:
        target: HOST:PORT of the server.
        gallery: resource name or id of the gallery; "" means the server's default.
        timeout_s: of each call, seconds; enrolment gets more per photograph.

    Attributes:
        sightings: who was seen where and when.
        unknowns: people who were seen and are not enrolled.

    Raises:
        UsageError: the target is no address.
    """

    def __init__(self, target: str = DEFAULT_TARGET, *, gallery: str = "", timeout_s: float = 10.0) -> None:
        self.target = target
        self.gallery = gallery_name(gallery)
        self.timeout_s = timeout_s
        self._channel = open_channel(target)
        self._recognition = recognition_pb2_grpc.RecognitionServiceStub(self._channel)
        self._galleries = gallery_pb2_grpc.GalleryServiceStub(self._channel)
        self._server = server_pb2_grpc.ServerServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)
        self._calls = Calls(target, timeout_s)
        self.sightings = Sightings(self._calls, self._channel, self.gallery)
        self.unknowns = Unknowns(self._calls, self._channel, self.gallery)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connection; calls under way end."""
        await self._channel.close()

    # ---- people

    async def enrol(
        self,
        display_name: str,
        photos: Iterable[Photo],
        *,
        identity: str = "",
        allow_lookalikes: bool = False,
        judged: Callable[[Sequence[PhotoOutcome]], None] = _unheard,
    ) -> Enrolment:
        """Adds a person from photographs; weak ones are refused one by one, with the reason in the answer.

        Args:
            display_name: the name of a new person; ignored with `identity`.
            photos: of this person alone; read as they are sent.
            identity: resource name of a person who gets more photographs; "" makes a new one.
            allow_lookalikes: accept a face that is near enough to another person to be taken for them.
            judged: called with the outcomes so far of each request, for progress.

        Raises:
            NoUsablePhotoError: none of the photographs is good enough; nothing was changed.
            UsageError: there are no photographs.
        """
        who = Enrollee(
            display_name=display_name, identity=identity, gallery=self.gallery, allow_lookalikes=allow_lookalikes
        )
        return await enrol_all(photos, who, self._enrol_batch, judged=judged)

    async def _enrol_batch(self, photos: Sequence[Photo], who: Enrollee) -> Enrolment:
        request = enrol_request(photos, who, request_id=request_id())
        timeout_s = self.timeout_s + _SECONDS_PER_PHOTO * len(photos)
        return read_enrolment(await self._calls.write(self._galleries.EnrolIdentity, request, timeout_s))

    async def list(self, contains: str = "") -> AsyncIterator[Identity]:
        """The people whose names contain a text, whatever its case, in the order of their enrolment."""
        request = gallery_pb2.ListIdentitiesRequest(
            gallery=self.gallery, page_size=_PAGE, display_name_contains=contains
        )
        while True:
            page = await self._calls.read(self._galleries.ListIdentities, request)
            for identity in page.identities:
                yield read_identity(identity)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def get(self, name: str) -> IdentityDetails:
        """A person and the person's templates, by resource name.

        Raises:
            NotFoundError: there is no such person.
        """
        return read_details(
            await self._calls.read(self._galleries.GetIdentity, gallery_pb2.GetIdentityRequest(name=name))
        )

    async def find(self, who: str) -> Identity:
        """The person with this resource name, id, or display name (whole, whatever its case).

        Raises:
            NotFoundError: there is none.
            RefusedError: several people have this name.
        """
        name = identity_name(self.gallery, who)
        if name:
            try:
                return (await self.get(name)).identity
            except NotFoundError:
                if name == who:
                    raise
        similar = [identity async for identity in self.list(composed(who))]
        same = [identity for identity in similar if comparable(identity.display_name) == comparable(who)]
        if len(same) == 1:
            return same[0]
        if same:
            ids = ", ".join(identity.id for identity in same)
            raise RefusedError(
                f"{len(same)} people are called {printable(who)}: {ids}",
                "say which by the id",
                cause=Cause("FAILED_PRECONDITION", "NAME_AMBIGUOUS"),
            )
        raise NotFoundError(
            f"nobody is called {printable(who)}{_suggestion(similar)}",
            "facestream-admin person list shows everybody",
            cause=Cause("NOT_FOUND", "IDENTITY_NOT_FOUND"),
        )

    async def rename(self, name: str, display_name: str) -> Identity:
        """Gives the person with this resource name another display name."""
        request = gallery_pb2.RenameIdentityRequest(name=name, display_name=display_name, request_id=request_id())
        return read_identity((await self._calls.write(self._galleries.RenameIdentity, request)).identity)

    async def delete(self, name: str) -> Receipt:
        """Removes the person with this resource name and everything derived from it; there is no way back."""
        request = gallery_pb2.DeleteIdentityRequest(name=name, request_id=request_id())
        return read_receipt((await self._calls.write(self._galleries.DeleteIdentity, request)).receipt)

    async def search(self, photo: Photo, *, limit: int = 0, target_far: float = 0.0) -> SearchResult:
        """The people nearest to each face of a photograph, whatever the threshold. 0 means the server's default."""
        request = gallery_pb2.SearchIdentitiesRequest(
            gallery=self.gallery, image=image_of(photo), limit=limit, target_far=target_far
        )
        return read_search(await self._calls.read(self._galleries.SearchIdentities, request))

    async def check_gallery(self, *, limit: int = 0, target_far: float = 0.0) -> Checkup:
        """References that mislead, the worst first. 0 means the server's default. Changes nothing."""
        request = gallery_pb2.CheckGalleryRequest(gallery=self.gallery, limit=limit, target_far=target_far)
        return read_checkup(await self._calls.read(self._galleries.CheckGallery, request, self.timeout_s + _CHECK_S))

    # ---- pictures

    async def recognize(self, photo: Photo, *, target_far: float = 0.0) -> Recognition:
        """The faces of a photograph, and who they are."""
        request = recognition_pb2.RecognizeRequest(image=image_of(photo), gallery=self.gallery, target_far=target_far)
        return read_recognition((await self._calls.read(self._recognition.Recognize, request)).result)

    async def verify(self, first: Photo, second: Photo, *, target_far: float = 0.0) -> Verification:
        """Whether two photographs with one face each show the same person."""
        request = recognition_pb2.VerifyRequest(first=image_of(first), second=image_of(second), target_far=target_far)
        return read_verification(await self._calls.read(self._recognition.Verify, request))

    async def embed(self, photo: Photo, *, mirrored: bool = False) -> tuple[EmbeddedFace, ...]:
        """Every face of a photograph and its embedding; `mirrored` takes twice the time and is a little better."""
        request = recognition_pb2.EmbedRequest(image=image_of(photo), mirrored=mirrored)
        return read_embeddings(await self._calls.read(self._recognition.Embed, request))

    def stream(self, source: Source | PacketSource, options: StreamOptions | None = None) -> RecognitionStream:
        """A camera's stream, over a connection of its own. The gallery is this client's unless the options name one."""
        options = options or StreamOptions()
        gallery = gallery_name(options.gallery) or self.gallery
        return RecognitionStream(self.target, source, replace(options, gallery=gallery))

    # ---- the server

    async def health(self) -> Health:
        """Whether the server says that it serves."""
        request = health_pb2.HealthCheckRequest()
        try:
            response = await self._calls.read(self._health.Check, request)
        except RpcError as error:
            if error.cause.code in {"UNIMPLEMENTED", "NOT_FOUND"}:
                return Health.UNKNOWN
            raise
        serving = response.status == health_pb2.HealthCheckResponse.SERVING
        return Health.SERVING if serving else Health.NOT_SERVING

    async def status(self) -> Status:
        """Whether the server serves, what it is, and the numbers of this gallery."""
        statistics = gallery_pb2.GetGalleryStatisticsRequest(gallery=self.gallery)
        health = await self.health()
        return Status(
            health,
            read_server(await self._calls.read(self._server.GetServerInfo, server_pb2.GetServerInfoRequest())),
            read_statistics(await self._calls.read(self._galleries.GetGalleryStatistics, statistics)),
        )

    async def statistics(self) -> ServerStatistics:
        """How busy the server is now: its cameras, stages and networks."""
        request = server_pb2.GetServerStatisticsRequest()
        return read_server_statistics(await self._calls.read(self._server.GetServerStatistics, request))


def _suggestion(similar: Sequence[Identity]) -> str:
    names = ", ".join(f"{printable(identity.display_name)} ({identity.id})" for identity in similar[:5])
    return f"; similar names: {names}" if names else ""
