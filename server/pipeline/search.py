"""A photograph against the gallery or against the past: who is nearest, whatever the threshold."""

from __future__ import annotations

from dataclasses import dataclass

from server.domain import Answer, EncodedImage, GalleryName, Undecided, UndecidedReason
from server.identity.match import Candidate
from server.identity.sightings.book import Sightings
from server.identity.sightings.records import NearSighting
from server.pipeline.recognise import Recogniser
from server.pipeline.verify import embed_image
from server.pipeline.vision import Analysis

_ILLEGIBLE = Undecided(UndecidedReason.LOW_QUALITY)


@dataclass(frozen=True, slots=True)
class ImageSearch:
    """The nearest people of each face.

    Attributes:
        analysis: N faces.
        answers: N answers, as recognition would give them.
        candidates: N times the nearest people, the nearest first, also of faces that are left undecided.
        threshold: in force, squared L2.
        revision: of the gallery.
    """

    analysis: Analysis
    answers: tuple[Answer, ...]
    candidates: tuple[tuple[Candidate, ...], ...]
    threshold: float
    revision: int


def search_image(
    recogniser: Recogniser, encoded: EncodedImage, gallery: GalleryName, *, far: float, limit: int
) -> ImageSearch:
    """The people nearest to each face of a photograph, each embedded with its mirror image.

    Raises:
        ImageError: the bytes are no image within the limits.
    """
    analysis, embeddings = embed_image(recogniser, encoded, mirrored=True)
    found = recogniser.galleries.search(gallery, embeddings, limit=max(2, limit))
    threshold = recogniser.rule.threshold(far, found.template_count)
    answers = tuple(
        recogniser.rule.answer(candidates, found, far) if recogniser.rule.legibility.holds(quality) else _ILLEGIBLE
        for quality, candidates in zip(analysis.qualities, found.candidates, strict=True)
    )
    return ImageSearch(
        analysis, answers, tuple(candidates[:limit] for candidates in found.candidates), threshold, found.revision
    )


@dataclass(frozen=True, slots=True)
class PastSearch:
    """The nearest sightings of each face.

    Attributes:
        analysis: N faces.
        candidates: N times the nearest sightings, the nearest first.
        threshold: in force, squared L2.
        searched_count: how many sightings were searched.
    """

    analysis: Analysis
    candidates: tuple[tuple[NearSighting, ...], ...]
    threshold: float
    searched_count: int


@dataclass(frozen=True, slots=True)
class PastQuery:
    """What is wanted of a search of the past.

    Attributes:
        gallery: whose sightings.
        far: wanted false accept rate of one face against everybody who was seen, in (0, 1).
        limit: sightings per face.
        include_identified: also those that show somebody enrolled.
    """

    gallery: GalleryName
    far: float
    limit: int
    include_identified: bool


def search_past(recogniser: Recogniser, sightings: Sightings, encoded: EncodedImage, query: PastQuery) -> PastSearch:
    """The sightings nearest to each face of a photograph, each embedded with its mirror image.

    Raises:
        ImageError: the bytes are no image within the limits.
    """
    analysis, embeddings = embed_image(recogniser, encoded, mirrored=True)
    found = sightings.search(query.gallery, embeddings, limit=query.limit, include_identified=query.include_identified)
    threshold = recogniser.rule.threshold(query.far, found.people_count)
    return PastSearch(analysis, found.candidates, threshold, found.searched_count)
