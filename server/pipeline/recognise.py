"""One image: who is in it. The steps in reading order, each timed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from server.domain import (
    Answer,
    EncodedImage,
    Faces,
    GalleryName,
    Image,
    OperatingPoint,
    Quality,
    Undecided,
    UndecidedReason,
)
from server.identity.gallery import Galleries
from server.identity.match import decide, threshold_for
from server.identity.records import GallerySearch
from server.pipeline.vision import Analysis, FaceVision
from server.vision.decode import ImageLimits, decode
from server.vision.quality import Legibility


@dataclass(frozen=True, slots=True)
class RecognitionRule:
    """When a face is named.

    Attributes:
        operating_points: measured thresholds of the embedder.
        min_margin: how much nearer than the second person the first must be, squared L2.
        legibility: faces that fall short of it are left undecided.
    """

    operating_points: tuple[OperatingPoint, ...]
    min_margin: float
    legibility: Legibility

    def threshold(self, far: float, comparisons: int) -> float:
        """The distance to beat for one face against so many people, squared L2."""
        return threshold_for(self.operating_points, far, max(1, comparisons))


@dataclass(slots=True)
class StageTimes:
    """Nanoseconds spent in each stage."""

    clock: Callable[[], int]
    spent_ns: dict[str, int] = field(default_factory=dict)
    _since: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._since = self.clock()

    def done(self, stage: str) -> None:
        """Books the time since the last call on a stage."""
        now = self.clock()
        self.spent_ns[stage] = now - self._since
        self._since = now


@dataclass(frozen=True, slots=True)
class RecognisedFace:
    """One face: its place in `Faces`, how good it is and who it is."""

    quality: Quality
    answer: Answer


@dataclass(frozen=True, slots=True)
class Recognition:
    """Who is in one image.

    Attributes:
        width: of the decoded image, pixels.
        height: of the decoded image, pixels.
        faces: N faces, the largest first.
        recognised: N answers.
        gallery_revision: what the answers rest on.
        spent_ns: nanoseconds by stage: decode, detect, align, embed, match.
    """

    width: int
    height: int
    faces: Faces
    recognised: tuple[RecognisedFace, ...]
    gallery_revision: int
    spent_ns: dict[str, int]


@dataclass(frozen=True, slots=True)
class Recogniser:
    """Names the people in images. Safe to call from many threads.

    Attributes:
        vision: models.
        galleries: who is enrolled.
        rule: when a face is named.
        limits: of an image.
        clock: monotonic nanoseconds.
    """

    vision: FaceVision
    galleries: Galleries
    rule: RecognitionRule
    limits: ImageLimits
    clock: Callable[[], int]

    def recognise(self, encoded: EncodedImage, gallery: GalleryName, *, far: float) -> Recognition:
        """Who is in an image: decode, detect, align, embed, match.

        Raises:
            ImageError: the bytes are no image within the limits.
            InferenceError: a network failed.
        """
        times = StageTimes(self.clock)
        image = decode(encoded, self.limits)
        times.done("decode")
        faces = self.vision.detector.detect(image)
        times.done("detect")
        analysis = self.vision.analyse(image, faces)
        times.done("align")
        legible = self._legible(analysis)
        embeddings = self.vision.embedder.embed(analysis.crops[legible])
        times.done("embed")
        search = self.galleries.search(gallery, embeddings, limit=2)
        answers = self._answers(legible, search, far)
        times.done("match")
        return _recognition(image, analysis, answers, search.revision, times)

    def _legible(self, analysis: Analysis) -> Sequence[int]:
        return [i for i, quality in enumerate(analysis.qualities) if self.rule.legibility.holds(quality)]

    def _answers(self, legible: Sequence[int], search: GallerySearch, far: float) -> dict[int, Answer]:
        threshold = self.rule.threshold(far, search.identity_count)
        return {
            i: decide(candidates, threshold=threshold, min_margin=self.rule.min_margin)
            for i, candidates in zip(legible, search.candidates, strict=True)
        }


def _recognition(
    image: Image, analysis: Analysis, answers: dict[int, Answer], revision: int, times: StageTimes
) -> Recognition:
    undecided = Undecided(UndecidedReason.LOW_QUALITY)
    return Recognition(
        width=int(np.shape(image)[1]),
        height=int(np.shape(image)[0]),
        faces=analysis.faces,
        recognised=tuple(
            RecognisedFace(quality, answers.get(i, undecided)) for i, quality in enumerate(analysis.qualities)
        ),
        gallery_revision=revision,
        spent_ns=times.spent_ns,
    )
