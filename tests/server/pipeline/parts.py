"""The pipeline on painted faces, put together as the server puts it together."""

from __future__ import annotations

import itertools

from server.domain import GalleryName
from server.identity.gallery import Galleries
from server.pipeline.enrol import EnrolmentRule, Photo
from server.pipeline.enrolment import Enroller, EnrolmentRequest
from server.pipeline.load import LoadedVision
from server.pipeline.naming import RecognitionRule
from server.pipeline.recognise import Recogniser
from server.vision.decode import ImageLimits
from server.vision.quality import Legibility
from tests.painted import PaintedFace, image

GALLERY = GalleryName()
LIMITS = ImageLimits(max_bytes=2**20, max_pixels=2**20)
FAR = 1e-3
MARGIN = 0.05


def recogniser_of(loaded: LoadedVision, galleries: Galleries) -> Recogniser:
    """A recogniser whose clock goes on by one at every look."""
    ticks = itertools.count()
    rule = RecognitionRule(loaded.operating_points, MARGIN, Legibility(min_size_px=16))
    return Recogniser(loaded.vision, galleries, rule, LIMITS, lambda: next(ticks))


def enroller_of(loaded: LoadedVision, galleries: Galleries) -> Enroller:
    """An enroller that works at the time 5."""
    return Enroller(
        vision=loaded.vision,
        galleries=galleries,
        rule=EnrolmentRule(),
        recognition=recogniser_of(loaded, galleries).rule,
        target_far=FAR,
        limits=LIMITS,
        wall_ns=lambda: 5,
    )


def photo(*faces: PaintedFace, source: str = "photo.png") -> Photo:
    """A photograph of painted faces."""
    return Photo(source, image(*faces))


def request(name: str, *photos: Photo, **fields) -> EnrolmentRequest:
    """Enrols a new person."""
    plain = {"gallery": GALLERY, "identity": None, "request_id": "", "allow_lookalikes": False}
    return EnrolmentRequest(display_name=name, photos=photos, **{**plain, **fields})
