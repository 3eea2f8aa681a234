"""People, galleries and the server from answers."""

from __future__ import annotations

from collections.abc import Sequence

from facestream.v1 import gallery_pb2, recognition_pb2, server_pb2

from clients import people
from clients.errors import RpcError
from clients.photos import Photo
from clients.wire.faces import read_face, read_quality
from clients.wire.leaves import moment, named, seconds


def read_identity(identity: gallery_pb2.Identity) -> people.Identity:
    """A person."""
    return people.Identity(
        name=identity.name,
        display_name=identity.display_name,
        template_count=identity.template_count,
        created_at=moment(identity.create_time),
        updated_at=moment(identity.update_time),
    )


def read_details(response: gallery_pb2.GetIdentityResponse) -> people.IdentityDetails:
    """A person and the person's templates."""
    return people.IdentityDetails(
        read_identity(response.identity),
        tuple(
            people.Template(item.id, item.source, read_quality(item.quality), moment(item.create_time))
            for item in response.templates
        ),
    )


def read_enrolment(response: gallery_pb2.EnrolIdentityResponse) -> people.Enrolment:
    """What came of an enrolment."""
    return people.Enrolment(
        identity=read_identity(response.identity),
        photos=tuple(
            people.PhotoOutcome(
                source=photo.source,
                accepted=photo.accepted,
                refusal=named(gallery_pb2.PhotoRefusal, photo.refusal, people.Refusal),
                message=photo.message,
                quality=read_quality(photo.quality) if photo.HasField("quality") else None,
            )
            for photo in response.photos
        ),
        gallery_revision=response.gallery_revision,
    )


def read_refusals(error: RpcError, photos: Sequence[Photo]) -> tuple[people.PhotoOutcome, ...]:
    """What is wrong with each photograph of a request of which the server could use none."""
    reasons = (error.cause.metadata.get(f"photo_{i}", "").lower() for i in range(len(photos)))
    refusals = (people.Refusal(r) if r in set(people.Refusal) else people.Refusal.UNSPECIFIED for r in reasons)
    return tuple(
        people.PhotoOutcome(photo.source, accepted=False, refusal=refusal, message="", quality=None)
        for photo, refusal in zip(photos, refusals, strict=True)
    )


def read_receipt(receipt: gallery_pb2.DeletionReceipt) -> people.Receipt:
    """What a deletion removed."""
    return people.Receipt(receipt.name, receipt.template_count, moment(receipt.delete_time), receipt.gallery_revision)


def read_search(response: gallery_pb2.SearchIdentitiesResponse) -> people.SearchResult:
    """The people nearest to each face."""
    return people.SearchResult(
        faces=tuple(
            people.FaceCandidates(
                read_face(found.face),
                tuple(
                    people.Candidate(read_identity(c.identity), c.distance, c.template_id, c.within_threshold)
                    for c in found.candidates
                ),
            )
            for found in response.faces
        ),
        threshold=response.threshold,
        gallery_revision=response.gallery_revision,
    )


def read_verification(response: recognition_pb2.VerifyResponse) -> people.Verification:
    """Whether two photographs show the same person."""
    return people.Verification(
        same=response.same,
        distance=response.distance,
        threshold=response.threshold,
        target_far=response.target_far,
        first_face=read_face(response.first_face),
        second_face=read_face(response.second_face),
    )


def read_embeddings(response: recognition_pb2.EmbedResponse) -> tuple[people.EmbeddedFace, ...]:
    """Every face and its embedding, the largest first."""
    return tuple(
        people.EmbeddedFace(read_face(item.face), tuple(item.embedding), response.fingerprint)
        for item in response.faces
    )


def read_statistics(response: gallery_pb2.GetGalleryStatisticsResponse) -> people.GalleryStatistics:
    """Numbers about one gallery."""
    return people.GalleryStatistics(
        gallery=response.gallery,
        identity_count=response.identity_count,
        template_count=response.template_count,
        revision=response.revision,
        fingerprint=response.fingerprint,
        threshold=response.threshold,
        target_far=response.target_far,
        index_base_count=response.index_base_count,
        index_delta_count=response.index_delta_count,
    )


def read_server(response: server_pb2.GetServerInfoResponse) -> people.ServerDescription:
    """What runs where."""
    limits = response.limits
    return people.ServerDescription(
        version=response.version,
        models=tuple(_read_model(model) for model in response.models),
        fingerprint=response.fingerprint,
        limits=people.ServerLimits(limits.image_bytes, limits.image_pixels, limits.enrolment_photos, limits.streams),
        uptime_s=seconds(response.uptime),
        open_streams=response.open_streams,
        target_far=response.target_far,
        workers=max(1, response.workers),
        keeps_sightings=response.keeps_sightings,
    )


def _read_model(model: server_pb2.ModelInfo) -> people.LoadedModel:
    return people.LoadedModel(
        kind=model.kind,
        model=model.model,
        sha256=model.sha256,
        licence=model.licence,
        backend=model.backend,
        backend_reason=model.backend_reason,
        runtimes=tuple(
            people.RuntimeTrial(trial.runtime, trial.passed, trial.finding, trial.cpu_ms) for trial in model.runtimes
        ),
    )
