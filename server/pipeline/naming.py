"""Embeddings to answers: a search of the gallery and the rule of a match, the same for stills and streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from server.domain import Calibration, Embeddings, GalleryName, Match, OperatingPoint, Unknown
from server.identity.confidence import confidence
from server.identity.gallery import Galleries
from server.identity.match import Candidate, decide, threshold_for
from server.identity.records import GallerySearch
from server.vision.quality import Legibility


@dataclass(frozen=True, slots=True)
class RecognitionRule:
    """When a face is named.

    Attributes:
        operating_points: measured thresholds of the embedder.
        min_margin: how much nearer than the second person the first must be, squared L2.
        legibility: faces that fall short of it are left undecided.
        calibration: what a distance says about the name; None when the embedder has none.
    """

    operating_points: tuple[OperatingPoint, ...]
    min_margin: float
    legibility: Legibility
    calibration: Calibration | None = None

    def threshold(self, far: float, comparisons: int) -> float:
        """The distance to beat for one face against so many templates, squared L2."""
        return threshold_for(self.operating_points, far, max(1, comparisons))

    def answer(self, candidates: Sequence[Candidate], search: GallerySearch, far: float) -> Match | Unknown:
        """Who a face is.

        Args:
            candidates: of the face, nearest first; two suffice.
            search: that found them.
            far: wanted false accept rate of one face against everybody.
        """
        threshold = self.threshold(far, search.template_count)
        answer = decide(candidates, threshold=threshold, min_margin=self.min_margin)
        if self.calibration is None or not isinstance(answer, Match):
            return answer
        return replace(answer, confidence=confidence(self.calibration, answer.distance, search.template_count))


@dataclass(frozen=True, slots=True)
class Named:
    """What the gallery says of some faces.

    Attributes:
        answers: one a face.
        revision: of the gallery that they rest on.
    """

    answers: tuple[Match | Unknown, ...]
    revision: int


def name_faces(
    galleries: Galleries, rule: RecognitionRule, gallery: GalleryName, embeddings: Embeddings, *, far: float
) -> Named:
    """Who some faces are, all by one state of the gallery.

    Args:
        galleries: who is enrolled.
        rule: when a face is named.
        gallery: whom to compare with.
        embeddings: (N, D) float32 of norm 1.
        far: wanted false accept rate of one face against the whole gallery.

    Raises:
        EmbeddingError: an embedding is not a finite unit vector of the gallery's dimension.
        FingerprintError: the gallery holds embeddings of other models.
    """
    search = galleries.search(gallery, embeddings, limit=2)
    answers = tuple(rule.answer(candidates, search, far) for candidates in search.candidates)
    return Named(answers, search.revision)
