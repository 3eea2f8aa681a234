"""The fake GalleryService: people in a dictionary."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, NoReturn, TypeAlias

import grpc
from facestream.v1 import face_pb2, gallery_pb2, gallery_pb2_grpc
from google.protobuf.any_pb2 import Any as PackedDetail
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from clients.fake.script import THRESHOLD

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

DEFAULT_GALLERY = "tenants/default/galleries/default"


class FakeGallery(gallery_pb2_grpc.GalleryServiceServicer):
    """Keeps people in memory. Photographs are accepted unless a test says otherwise.

    Attributes:
        identities: by resource name, in the order of enrolment.
        refusals: why photographs with these sources are refused.
        faces: in every photograph to search for.
        fail: errors to answer, the next call first; None lets a call through.
        checkup: what a check of the gallery finds.
        requests: ids of the writes that came, repeated ones too.
        page_size: identities per page at most.
    """

    def __init__(self) -> None:
        self.checkup = gallery_pb2.CheckGalleryResponse(threshold=THRESHOLD, advised_threshold=THRESHOLD)
        self.identities: dict[str, gallery_pb2.Identity] = {}
        self.refusals: dict[str, tuple[gallery_pb2.PhotoRefusal.ValueType, str]] = {}
        self.faces: Sequence[face_pb2.Face] = ()
        self.fail: list[grpc.StatusCode | None] = []
        self.requests: list[str] = []
        self.enrolments: list[gallery_pb2.EnrolIdentityRequest] = []
        self.page_size = 2
        self._templates: dict[str, list[gallery_pb2.Template]] = {}
        self._revision = 0
        self._answers: dict[str, gallery_pb2.EnrolIdentityResponse] = {}

    def add(self, display_name: str, *sources: str, gallery: str = DEFAULT_GALLERY) -> gallery_pb2.Identity:
        """Enrols somebody."""
        name = f"{gallery}/identities/{uuid.uuid4().hex[:12]}"
        identity = gallery_pb2.Identity(name=name, display_name=display_name)
        identity.create_time.GetCurrentTime()
        identity.update_time.GetCurrentTime()
        self.identities[name] = identity
        self._templates[name] = []
        for source in sources or ("photo.jpg",):
            self._add_template(name, source)
        return identity

    async def EnrolIdentity(  # noqa: N802 - the name in the API
        self, request: gallery_pb2.EnrolIdentityRequest, context: Context
    ) -> gallery_pb2.EnrolIdentityResponse:
        """Refuses by source, accepts the rest."""
        self.requests.append(request.request_id)
        self.enrolments.append(request)
        if request.request_id not in self._answers:
            self._answers[request.request_id] = await self._enrol(request, context)
        # The failure comes after the change: a client that repeats the call must not enrol twice.
        await self._maybe_fail(context)
        return self._answers[request.request_id]

    async def _enrol(
        self, request: gallery_pb2.EnrolIdentityRequest, context: Context
    ) -> gallery_pb2.EnrolIdentityResponse:
        outcomes = [self._outcome(photo.source) for photo in request.photos]
        if not any(outcome.accepted for outcome in outcomes):
            reasons = {
                f"photo_{i}": gallery_pb2.PhotoRefusal.Name(outcome.refusal).removeprefix("PHOTO_REFUSAL_")
                for i, outcome in enumerate(outcomes)
            }
            await refuse(
                context,
                grpc.StatusCode.FAILED_PRECONDITION,
                "NO_USABLE_PHOTO",
                f"none of the {len(outcomes)} photographs can be used: "
                + "; ".join(f"{outcome.source}: {outcome.message}" for outcome in outcomes),
                reasons,
            )
        identity = await self._find(request.identity, context) if request.identity else None
        if identity is None:
            identity = self.add(request.display_name, gallery=request.gallery or DEFAULT_GALLERY)
            self._templates[identity.name] = []
        for outcome in outcomes:
            if outcome.accepted:
                self._add_template(identity.name, outcome.source)
        self._revision += 1
        return gallery_pb2.EnrolIdentityResponse(identity=identity, photos=outcomes, gallery_revision=self._revision)

    async def ListIdentities(  # noqa: N802
        self, request: gallery_pb2.ListIdentitiesRequest, context: Context
    ) -> gallery_pb2.ListIdentitiesResponse:
        """Pages; the token is the number of identities before."""
        await self._maybe_fail(context)
        wanted = request.display_name_contains.casefold()
        gallery = request.gallery or DEFAULT_GALLERY
        found = [
            identity
            for name, identity in self.identities.items()
            if name.startswith(f"{gallery}/") and wanted in identity.display_name.casefold()
        ]
        start = int(request.page_token or 0)
        end = start + min(self.page_size, request.page_size or self.page_size)
        return gallery_pb2.ListIdentitiesResponse(
            identities=found[start:end], next_page_token=str(end) if end < len(found) else ""
        )

    async def GetIdentity(  # noqa: N802
        self, request: gallery_pb2.GetIdentityRequest, context: Context
    ) -> gallery_pb2.GetIdentityResponse:
        """One identity."""
        await self._maybe_fail(context)
        identity = await self._find(request.name, context)
        return gallery_pb2.GetIdentityResponse(identity=identity, templates=self._templates[identity.name])

    async def RenameIdentity(  # noqa: N802
        self, request: gallery_pb2.RenameIdentityRequest, context: Context
    ) -> gallery_pb2.RenameIdentityResponse:
        """Another name."""
        self.requests.append(request.request_id)
        await self._maybe_fail(context)
        identity = await self._find(request.name, context)
        identity.display_name = request.display_name
        self._revision += 1
        return gallery_pb2.RenameIdentityResponse(identity=identity, gallery_revision=self._revision)

    async def DeleteIdentity(  # noqa: N802
        self, request: gallery_pb2.DeleteIdentityRequest, context: Context
    ) -> gallery_pb2.DeleteIdentityResponse:
        """Gone."""
        self.requests.append(request.request_id)
        await self._maybe_fail(context)
        identity = await self._find(request.name, context)
        del self.identities[identity.name]
        self._revision += 1
        receipt = gallery_pb2.DeletionReceipt(
            name=identity.name,
            template_count=len(self._templates.pop(identity.name)),
            gallery_revision=self._revision,
        )
        receipt.delete_time.GetCurrentTime()
        return gallery_pb2.DeleteIdentityResponse(receipt=receipt)

    async def SearchIdentities(  # noqa: N802
        self, request: gallery_pb2.SearchIdentitiesRequest, context: Context
    ) -> gallery_pb2.SearchIdentitiesResponse:
        """Everybody, each a little farther than the one before."""
        await self._maybe_fail(context)
        candidates = [
            gallery_pb2.SearchCandidate(
                identity=identity, distance=0.5 + i, template_id="t1", within_threshold=0.5 + i <= THRESHOLD
            )
            for i, identity in enumerate(self.identities.values())
        ]
        return gallery_pb2.SearchIdentitiesResponse(
            faces=[
                gallery_pb2.FaceCandidates(face=face, candidates=candidates[: request.limit or 5])
                for face in self.faces
            ],
            threshold=THRESHOLD,
            gallery_revision=self._revision,
        )

    async def GetGalleryStatistics(  # noqa: N802
        self, request: gallery_pb2.GetGalleryStatisticsRequest, context: Context
    ) -> gallery_pb2.GetGalleryStatisticsResponse:
        """Counts."""
        await self._maybe_fail(context)
        return gallery_pb2.GetGalleryStatisticsResponse(
            gallery=request.gallery or DEFAULT_GALLERY,
            identity_count=len(self.identities),
            template_count=sum(len(templates) for templates in self._templates.values()),
            revision=self._revision,
            fingerprint="fake" if self.identities else "",
            threshold=THRESHOLD,
            target_far=0.001,
        )

    async def CheckGallery(  # noqa: N802
        self, request: gallery_pb2.CheckGalleryRequest, context: Context
    ) -> gallery_pb2.CheckGalleryResponse:
        """What a test laid in."""
        await self._maybe_fail(context)
        found = gallery_pb2.CheckGalleryResponse()
        found.CopyFrom(self.checkup)
        del found.findings[request.limit or 100 :]
        return found

    def _outcome(self, source: str) -> gallery_pb2.PhotoOutcome:
        refusal, message = self.refusals.get(source, (gallery_pb2.PHOTO_REFUSAL_UNSPECIFIED, ""))
        return gallery_pb2.PhotoOutcome(source=source, accepted=not refusal, refusal=refusal, message=message)

    def _add_template(self, name: str, source: str) -> None:
        templates = self._templates[name]
        template = gallery_pb2.Template(
            id=f"t{len(templates) + 1}", source=source, quality=face_pb2.Quality(score=0.8, size_pixels=90)
        )
        template.create_time.GetCurrentTime()
        templates.append(template)
        self.identities[name].template_count = len(templates)

    async def _find(self, name: str, context: Context) -> gallery_pb2.Identity:
        if name not in self.identities:
            await refuse(context, grpc.StatusCode.NOT_FOUND, "IDENTITY_NOT_FOUND", f"there is no {name}")
        return self.identities[name]

    async def _maybe_fail(self, context: Context) -> None:
        code = self.fail.pop(0) if self.fail else None
        if code is not None:
            await context.abort(code, "scripted")


async def refuse(
    context: Context, code: grpc.StatusCode, reason: str, message: str, metadata: dict[str, str] | None = None
) -> NoReturn:
    """Ends a call the way the server does: with google.rpc.Status and ErrorInfo."""
    detail = PackedDetail()
    detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="facestream", metadata=metadata or {}))
    number, _ = code.value
    status = rpc_status.to_status(status_pb2.Status(code=number, message=message, details=[detail]))
    await context.abort(code, message, tuple(status.trailing_metadata))
