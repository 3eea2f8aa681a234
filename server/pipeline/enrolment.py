"""A request to enrol: judge the photographs, hold them against the gallery, write what is left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from server.domain import GalleryName, IdentityName, Quality
from server.errors import EnrolmentError
from server.identity.gallery import Galleries
from server.identity.match import Candidate
from server.identity.records import EnrolReceipt, RequestStamp
from server.pipeline.enrol import EnrolmentRule, JudgedPhoto, Photo, Refusal, judge, refuse_inconsistent
from server.pipeline.naming import RecognitionRule
from server.pipeline.vision import FaceVision
from server.vision.decode import ImageLimits

_SAME_PERSON_FAR = 0.01
"""Photographs that a person chose to enrol together are probably of one person: a lax threshold is enough."""


@dataclass(frozen=True, slots=True)
class EnrolmentRequest:
    """Adds a person, or photographs to a person.

    Attributes:
        gallery: where.
        identity: the person to add to; None for a new one.
        display_name: of a new person; "" with `identity`.
        photos: at least one.
        request_id: for repeating safely; "" for none.
        allow_lookalikes: accept a face that is near enough to another person to be taken for them.
    """

    gallery: GalleryName
    identity: IdentityName | None
    display_name: str
    photos: tuple[Photo, ...]
    request_id: str
    allow_lookalikes: bool

    def digest(self) -> str:
        """What makes two requests the same."""
        parts = [str(self.gallery), str(self.identity), self.display_name, str(self.allow_lookalikes)]
        parts += [f"{photo.source}\0{hashlib.sha256(photo.image.data).hexdigest()}" for photo in self.photos]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What became of a request: the receipt and every photograph, in the request's order."""

    receipt: EnrolReceipt
    photos: tuple[JudgedPhoto, ...]


@dataclass(frozen=True, slots=True)
class Enroller:
    """Enrols people. Safe to call from many threads.

    Attributes:
        vision: models.
        galleries: where people are kept.
        rule: what a photograph must show.
        recognition: thresholds.
        target_far: of the gallery.
        limits: of an image.
        wall_ns: nanoseconds since the epoch.
    """

    vision: FaceVision
    galleries: Galleries
    rule: EnrolmentRule
    recognition: RecognitionRule
    target_far: float
    limits: ImageLimits
    wall_ns: Callable[[], int]

    def enrol(self, request: EnrolmentRequest) -> Enrolled:
        """Durably enrols the photographs that are good enough.

        Raises:
            EnrolmentError: NO_USABLE_PHOTO when none is; nothing is written.
            NotFoundError: no such identity.
            ConflictError: the request id was used for something else.
        """
        digest = request.digest()
        before = self._answered(request.request_id, digest)
        if before is not None:
            return before
        photos = self._judge(request)
        templates = [photo.template for photo in photos if photo.template is not None]
        if not templates:
            # An equal request may have been done meanwhile: then it is its photographs that are there already.
            meanwhile = self._answered(request.request_id, digest)
            if meanwhile is not None:
                return meanwhile
            raise _nothing_usable(photos)
        stamp = RequestStamp(request.request_id, digest, _outcomes_to(photos))
        receipt = self.galleries.enrol(
            request.gallery,
            identity=request.identity,
            display_name=request.display_name,
            templates=templates,
            request=stamp,
            at_ns=self.wall_ns(),
        )
        # Of two equal requests at once the second gets the answer of the first.
        return Enrolled(receipt, _outcomes_from(receipt.payload) if receipt.replayed else tuple(photos))

    def _answered(self, request_id: str, digest: str) -> Enrolled | None:
        replay = self.galleries.replay(request_id, digest) if request_id else None
        if replay is None or not isinstance(replay.receipt, EnrolReceipt):
            return None
        return Enrolled(replay.receipt, _outcomes_from(replay.payload))

    def _judge(self, request: EnrolmentRequest) -> list[JudgedPhoto]:
        photos = [judge(photo, self.vision, self.rule, self.limits) for photo in request.photos]
        photos = self._refuse_duplicates(request.gallery, photos)
        same_person = self.recognition.threshold(_SAME_PERSON_FAR, 1)
        photos = refuse_inconsistent(photos, same_person)
        return photos if request.allow_lookalikes else self._refuse_somebody_else(request, photos)

    def _refuse_duplicates(self, gallery: GalleryName, photos: Sequence[JudgedPhoto]) -> list[JudgedPhoto]:
        seen: dict[str, str] = {}
        result = []
        for photo in photos:
            template = photo.template
            if template is None:
                result.append(photo)
                continue
            owner = self.galleries.find_photo(gallery, template.photo_digest)
            before = f"{owner.display_name!r} ({owner.name})" if owner else seen.get(template.photo_digest)
            seen.setdefault(template.photo_digest, f"this request ({photo.source!r})")
            result.append(
                photo.refused(Refusal.DUPLICATE, f"{before} has this very picture already; use another photograph")
                if before
                else photo
            )
        return result

    def _refuse_somebody_else(self, request: EnrolmentRequest, photos: Sequence[JudgedPhoto]) -> list[JudgedPhoto]:
        accepted = [i for i, photo in enumerate(photos) if photo.template is not None]
        if not accepted:
            return list(photos)
        embeddings = np.stack([photo.template.embedding for photo in photos if photo.template is not None])
        search = self.galleries.search(request.gallery, embeddings, limit=2)
        threshold = self.recognition.threshold(self.target_far, search.template_count)
        result = list(photos)
        for i, candidates in zip(accepted, search.candidates, strict=True):
            other = _nearest_other(candidates, request.identity)
            if other is not None and other.distance <= threshold:
                result[i] = result[i].refused(
                    Refusal.SOMEBODY_ELSE,
                    f"the face is {other.distance:.2f} away from {other.display_name!r} ({other.identity}), which "
                    f"would be a match (threshold {threshold:.2f}); add it to that person, or allow lookalikes",
                )
        return result


def _nearest_other(candidates: Sequence[Candidate], identity: IdentityName | None) -> Candidate | None:
    return next((candidate for candidate in candidates if candidate.identity != str(identity)), None)


def _nothing_usable(photos: Sequence[JudgedPhoto]) -> EnrolmentError:
    reasons = "; ".join(f"{photo.source or f'photo {i + 1}'}: {photo.message}" for i, photo in enumerate(photos))
    metadata = {f"photo_{i}": photo.refusal.name for i, photo in enumerate(photos) if photo.refusal}
    nothing = (
        "the photograph can't be used" if len(photos) == 1 else f"none of the {len(photos)} photographs can be used"
    )
    message = f"{nothing}: {reasons}"
    return EnrolmentError("NO_USABLE_PHOTO", message, metadata=metadata)


def _outcomes_to(photos: Sequence[JudgedPhoto]) -> bytes:
    """The outcomes without the templates, to be stored with the request and given back when it is repeated."""
    rows = [
        {
            "source": photo.source,
            "quality": [getattr(photo.quality, name) for name in Quality.__slots__] if photo.quality else None,
            "refusal": photo.refusal.value if photo.refusal else None,
            "message": photo.message,
        }
        for photo in photos
    ]
    return json.dumps(rows).encode()


def _outcomes_from(payload: bytes) -> tuple[JudgedPhoto, ...]:
    return tuple(
        JudgedPhoto(
            row["source"],
            Quality(*row["quality"]) if row["quality"] else None,
            Refusal(row["refusal"]) if row["refusal"] else None,
            row["message"],
            None,
        )
        for row in json.loads(payload)
    )
