"""A camera's tracker for tests: people pass by, and their tracks are reported as the server's tracker reports them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from server.domain import (
    BestCrop,
    Embedding,
    GalleryName,
    Look,
    Match,
    OperatingPoint,
    Quality,
    TrackReport,
    Unknown,
    UnknownReason,
)
from server.identity.cluster_settings import ClusterSettings
from server.identity.gallery import Galleries
from server.identity.match import decide
from server.identity.sightings.book import SightingRule, Sightings
from server.identity.sightings.retention import RetentionPolicy
from tests.server.identity.crowd import DIMENSION, GALLERY, QUALITY

SETTINGS = ClusterSettings((OperatingPoint(1e-12, 1.0, 1.0), OperatingPoint(0.9, 1.0, 1.0)))
"""Faces are one person up to a distance of 1, however many there are."""

THRESHOLD = 0.9
SECOND_NS = 10**9
FOR_EVER = RetentionPolicy(0, 0, 0)
POOR = replace(QUALITY, score=0.01)
LONG = (0, 0.5, 1)
"""When a face is looked at that needs no second sighting, seconds."""


class Observer(Protocol):
    """Whoever is told of tracks."""

    def observe(self, report: TrackReport) -> str:
        """Resource name of the group that the track belongs to now."""


def fit(quality: Quality) -> bool:
    """Whether a face may become a template."""
    return quality.score >= 0.3


def rule_of(
    *,
    clock: Callable[[], int] = lambda: 7,
    settings: ClusterSettings = SETTINGS,
    retention: RetentionPolicy = FOR_EVER,
) -> SightingRule:
    """A rule under which crops are kept as they are."""
    return SightingRule(
        clusters=settings, retention=retention, encode=lambda pixels: pixels.tobytes(), fit=fit, clock=clock
    )


def face_of(person: int, look: int, *, spread: float = 0.08, dimension: int = DIMENSION) -> Embedding:
    """A look at a person: looks at one are some 0.2 apart, those at two people about 2."""
    centre = np.random.default_rng(10_000 + person).standard_normal(dimension)
    centre /= np.linalg.norm(centre)
    vector = centre + spread * np.random.default_rng(77 * person + look).standard_normal(dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@dataclass
class Passers:
    """People who pass by, each time with another look.

    Attributes:
        galleries: that faces are matched against.
        sightings: who is told.
        gallery: the gallery's name.
        dimension: of embeddings.
    """

    galleries: Galleries
    sightings: Sightings
    gallery: GalleryName = GALLERY
    dimension: int = DIMENSION
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def report(
        self,
        person: int,
        *,
        camera: str = "door",
        track: str = "",
        at_s: int = 0,
        look: int | None = None,
        quality: Quality = QUALITY,
        ended: bool = True,
        frames: int = 9,
        seen_s: Sequence[float] = (0,),
        coherence: float = 1.0,
    ) -> TrackReport:
        """What the tracker would say of a person who passes by, after looks at these times."""
        number = next(self._numbers)
        template = face_of(person, number if look is None else look, dimension=self.dimension)
        return TrackReport(
            gallery=self.gallery,
            camera=camera,
            track=track or f"track-{number}",
            first_seen_ns=at_s * SECOND_NS,
            last_seen_ns=(at_s + 2) * SECOND_NS,
            frames=frames,
            template=template,
            coherence=coherence,
            looks=tuple(Look(template, quality.score, round(seen * SECOND_NS)) for seen in seen_s),
            best=BestCrop(np.full((4, 4, 3), person % 250, np.uint8), quality, (at_s + 1) * SECOND_NS),
            answer=self.answer(template),
            ended=ended,
        )

    def answer(self, template: Embedding) -> Match | Unknown:
        """Who a face is, as recognition decides."""
        found = self.galleries.search(self.gallery, template[None], limit=2)
        return decide(found.candidates[0], threshold=THRESHOLD, min_margin=0.03)

    def passes(self, person: int, **how) -> TrackReport:
        """Reports a person and waits until that is written down."""
        report = self.report(person, **how)
        self.sightings.observe(report)
        self.settle()
        return report

    def settle(self) -> None:
        """Waits until everything that was reported is written down."""
        self.galleries.store.write(lambda db: _NOTHING)


class _Nothing:
    answer, changes, erases = None, (), False


_NOTHING = _Nothing()


def unknown_far_away() -> Unknown:
    """The answer of an empty gallery."""
    return Unknown(UnknownReason.GALLERY_EMPTY, None, THRESHOLD)
