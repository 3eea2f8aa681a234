"""GalleryService: conversions around the gallery and the enroller."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, TypeAlias, TypeVar

import grpc
from facestream.v1 import gallery_pb2, gallery_pb2_grpc

from server.domain import GalleryName, IdentityName
from server.errors import EnrolmentError, InvalidInputError
from server.identity.gallery import Galleries
from server.identity.match import Candidate
from server.pipeline.check import check_gallery
from server.pipeline.enrol import Photo
from server.pipeline.enrolment import Enroller, EnrolmentRequest
from server.pipeline.recognise import Recogniser
from server.pipeline.search import search_image
from server.rpc import wire
from server.rpc.stamps import request_id_from, stamp_of
from server.rpc.wire_check import check_message
from server.telemetry.metrics import GalleryMetrics

T = TypeVar("T")
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

MAX_PHOTOS = 64
_MAX_SOURCE = 200
_MAX_CANDIDATES, _DEFAULT_CANDIDATES = 100, 5
_MAX_FINDINGS, _DEFAULT_FINDINGS = 1000, 100


class GalleryServicer(gallery_pb2_grpc.GalleryServiceServicer):
    """Answers GalleryService.

    Args:
        galleries: where people are kept.
        enroller: judges photographs and adds people.
        recogniser: finds the faces of a photograph to search for.
        executor: runs all of it.
        target_far: the server's default.
        metrics: counted into.
    """

    def __init__(
        self,
        *,
        galleries: Galleries,
        enroller: Enroller,
        recogniser: Recogniser,
        executor: Executor,
        target_far: float,
        metrics: GalleryMetrics,
    ) -> None:
        self._galleries = galleries
        self._enroller = enroller
        self._recogniser = recogniser
        self._executor = executor
        self._target_far = target_far
        self._metrics = metrics

    async def EnrolIdentity(  # noqa: N802 - the name in the API
        self, request: gallery_pb2.EnrolIdentityRequest, context: Context
    ) -> gallery_pb2.EnrolIdentityResponse:
        """Adds a person, or photographs to a person."""
        del context
        wanted = enrolment_from(request)
        try:
            enrolled = await self._run(lambda: self._enroller.enrol(wanted))
        except EnrolmentError as error:
            for refusal in error.metadata.values():
                self._metrics.photos.labels(refusal.lower()).inc()
            raise
        for photo in enrolled.photos:
            self._metrics.photos.labels(photo.refusal.value if photo.refusal else "accepted").inc()
        await self._run(lambda: self.count_people(wanted.gallery))
        return gallery_pb2.EnrolIdentityResponse(
            identity=wire.identity_message(enrolled.receipt.identity),
            photos=wire.outcome_messages(enrolled.photos),
            gallery_revision=enrolled.receipt.revision,
        )

    async def ListIdentities(  # noqa: N802
        self, request: gallery_pb2.ListIdentitiesRequest, context: Context
    ) -> gallery_pb2.ListIdentitiesResponse:
        """A page of identities."""
        del context
        gallery = GalleryName.parse(request.gallery)
        page = await self._run(
            lambda: self._galleries.list_page(
                gallery,
                page_size=request.page_size,
                page_token=request.page_token,
                contains=request.display_name_contains,
            )
        )
        return gallery_pb2.ListIdentitiesResponse(
            identities=[wire.identity_message(record) for record in page.identities],
            next_page_token=page.next_page_token,
        )

    async def GetIdentity(  # noqa: N802
        self, request: gallery_pb2.GetIdentityRequest, context: Context
    ) -> gallery_pb2.GetIdentityResponse:
        """One identity with its templates."""
        del context
        name = IdentityName.parse(request.name)
        found = await self._run(lambda: self._galleries.get(name))
        return gallery_pb2.GetIdentityResponse(
            identity=wire.identity_message(found.identity),
            templates=[wire.template_message(template) for template in found.templates],
        )

    async def RenameIdentity(  # noqa: N802
        self, request: gallery_pb2.RenameIdentityRequest, context: Context
    ) -> gallery_pb2.RenameIdentityResponse:
        """Gives an identity another display name."""
        del context
        name = IdentityName.parse(request.name)
        stamp = stamp_of(request.request_id, f"rename\n{name}\n{request.display_name}")
        receipt = await self._run(
            lambda: self._galleries.rename(name, request.display_name, request=stamp, at_ns=time.time_ns())
        )
        return gallery_pb2.RenameIdentityResponse(
            identity=wire.identity_message(receipt.identity), gallery_revision=receipt.revision
        )

    async def DeleteIdentity(  # noqa: N802
        self, request: gallery_pb2.DeleteIdentityRequest, context: Context
    ) -> gallery_pb2.DeleteIdentityResponse:
        """Removes an identity and everything derived from it."""
        del context
        name = IdentityName.parse(request.name)
        stamp = stamp_of(request.request_id, f"delete\n{name}")
        receipt = await self._run(lambda: self._galleries.delete(name, request=stamp, at_ns=time.time_ns()))
        await self._run(lambda: self.count_people(name.gallery))
        return gallery_pb2.DeleteIdentityResponse(
            receipt=gallery_pb2.DeletionReceipt(
                name=receipt.name,
                template_count=receipt.template_count,
                delete_time=wire.timestamp(receipt.deleted_at_ns),
                gallery_revision=receipt.revision,
                sighting_count=receipt.sighting_count,
            )
        )

    async def SearchIdentities(  # noqa: N802
        self, request: gallery_pb2.SearchIdentitiesRequest, context: Context
    ) -> gallery_pb2.SearchIdentitiesResponse:
        """The enrolled people nearest to each face of a photograph."""
        del context
        gallery = GalleryName.parse(request.gallery)
        far = wire.far_from(request.target_far, self._target_far)
        limit = _limit(request.limit)
        image = wire.image_from(request.image)
        found = await self._run(lambda: search_image(self._recogniser, image, gallery, far=far, limit=limit))
        faces = [
            gallery_pb2.FaceCandidates(
                face=wire.face_message(found.analysis.faces, i, found.analysis.qualities[i], answer),
                candidates=_candidates(candidates, found.threshold),
            )
            for i, (answer, candidates) in enumerate(zip(found.answers, found.candidates, strict=True))
        ]
        return gallery_pb2.SearchIdentitiesResponse(
            faces=faces, threshold=found.threshold, gallery_revision=found.revision
        )

    async def GetGalleryStatistics(  # noqa: N802
        self, request: gallery_pb2.GetGalleryStatisticsRequest, context: Context
    ) -> gallery_pb2.GetGalleryStatisticsResponse:
        """Numbers about one gallery."""
        del context
        gallery = GalleryName.parse(request.gallery)
        found = await self._run(lambda: self._galleries.statistics(gallery))
        return gallery_pb2.GetGalleryStatisticsResponse(
            gallery=str(gallery),
            identity_count=found.identity_count,
            template_count=found.template_count,
            revision=found.revision,
            fingerprint=found.fingerprint,
            threshold=self._recogniser.rule.threshold(self._target_far, found.template_count),
            target_far=self._target_far,
            index_base_count=found.index_base_count,
            index_delta_count=found.index_delta_count,
        )

    async def CheckGallery(  # noqa: N802
        self, request: gallery_pb2.CheckGalleryRequest, context: Context
    ) -> gallery_pb2.CheckGalleryResponse:
        """References that mislead."""
        del context
        gallery = GalleryName.parse(request.gallery)
        far = wire.far_from(request.target_far, self._target_far)
        limit = _finding_limit(request.limit)
        rule = self._recogniser.rule
        advice = await self._run(lambda: check_gallery(self._galleries, rule, gallery, far=far))
        return check_message(advice, limit)

    def count_people(self, gallery: GalleryName) -> None:
        """Tells the metrics how many people a gallery holds."""
        self._metrics.identities.labels(str(gallery)).set(self._galleries.statistics(gallery).identity_count)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def enrolment_from(request: gallery_pb2.EnrolIdentityRequest) -> EnrolmentRequest:
    """A request to enrol, checked field by field.

    Raises:
        InvalidInputError: which field is wrong, and how.
    """
    gallery = GalleryName.parse(request.gallery)
    identity = IdentityName.parse(request.identity, "identity") if request.identity else None
    if identity is not None and request.display_name:
        raise InvalidInputError(
            "DISPLAY_NAME_UNWANTED", "leave display_name empty when identity is set", field="display_name"
        )
    if identity is not None and request.gallery and identity.gallery != gallery:
        raise InvalidInputError(
            "GALLERY_MISMATCH", f"{identity} is not in {gallery}; leave gallery empty", field="gallery"
        )
    if not 1 <= len(request.photos) <= MAX_PHOTOS:
        raise InvalidInputError(
            "PHOTO_COUNT_INVALID", f"{len(request.photos)} photographs; send 1 to {MAX_PHOTOS}", field="photos"
        )
    return EnrolmentRequest(
        gallery=identity.gallery if identity else gallery,
        identity=identity,
        display_name=request.display_name,
        photos=tuple(_photo(photo, i) for i, photo in enumerate(request.photos)),
        request_id=request_id_from(request.request_id),
        allow_lookalikes=request.allow_lookalikes,
    )


def _photo(message: gallery_pb2.EnrolmentPhoto, i: int) -> Photo:
    if len(message.source) > _MAX_SOURCE or not (message.source.isprintable()):
        raise InvalidInputError(
            "SOURCE_INVALID",
            f"a photograph's source has at most {_MAX_SOURCE} printable characters, not {message.source[:50]!r}",
            field=f"photos[{i}].source",
        )
    return Photo(message.source, wire.image_from(message.image))


def _candidates(candidates: Sequence[Candidate], threshold: float) -> list[gallery_pb2.SearchCandidate]:
    return [
        gallery_pb2.SearchCandidate(
            identity=gallery_pb2.Identity(name=candidate.identity, display_name=candidate.display_name),
            distance=candidate.distance,
            template_id=candidate.template_id,
            within_threshold=candidate.distance <= threshold,
        )
        for candidate in candidates
    ]


def _limit(asked: int) -> int:
    if not 0 <= asked <= _MAX_CANDIDATES:
        raise InvalidInputError(
            "LIMIT_INVALID",
            f"limit is {asked}; write 0 for {_DEFAULT_CANDIDATES}, or up to {_MAX_CANDIDATES}",
            field="limit",
        )
    return asked or _DEFAULT_CANDIDATES


def _finding_limit(asked: int) -> int:
    if asked < 0:
        raise InvalidInputError(
            "LIMIT_INVALID",
            f"limit is {asked}; write 0 for {_DEFAULT_FINDINGS}, or up to {_MAX_FINDINGS}",
            field="limit",
        )
    return min(asked, _MAX_FINDINGS) or _DEFAULT_FINDINGS
