"""One image: who is in it. The steps in reading order, each timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from server.domain import Answer, EncodedImage, Faces, GalleryName, Image, Quality, Undecided, UndecidedReason
from server.identity.gallery import Galleries
from server.pipeline.naming import RecognitionRule, name_faces
from server.pipeline.vision import Analysis, FaceVision
from server.vision.decode import ImageLimits, decode


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
        self.spent_ns[stage] = self.spent_ns.get(stage, 0) + now - self._since
        self._since = now

    def skip(self) -> None:
        """Books the time since the last call on nothing: it was spent waiting."""
        self._since = self.clock()


@dataclass(frozen=True, slots=True)
class RecognisedFace:
    """One face: its place in `Faces`, how good it is, who it is, and the name of its track, empty in a still image."""

    quality: Quality
    answer: Answer
    track: str = ""


@dataclass(frozen=True, slots=True)
class Recognition:
    """Who is in one image.

    Attributes:
        width: of the decoded image, pixels.
        height: of the decoded image, pixels.
        faces: N faces, the largest first.
        recognised: N answers.
        gallery_revision: what the answers rest on.
        spent_ns: nanoseconds by stage: decode, detect, track, align, embed, match.
        looks: faces that were embedded for this image, by the reason why.
    """

    width: int
    height: int
    faces: Faces
    recognised: tuple[RecognisedFace, ...]
    gallery_revision: int
    spent_ns: Mapping[str, int]
    looks: Mapping[str, int]


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
        embeddings = self.vision.embedder.embed_of(analysis, legible)
        times.done("embed")
        named = name_faces(self.galleries, self.rule, gallery, embeddings, far=far)
        times.done("match")
        return _recognition(image, analysis, dict(zip(legible, named.answers, strict=True)), named.revision, times)

    def _legible(self, analysis: Analysis) -> Sequence[int]:
        return [i for i, quality in enumerate(analysis.qualities) if self.rule.legibility.holds(quality)]


def _recognition(
    image: Image, analysis: Analysis, answers: Mapping[int, Answer], revision: int, times: StageTimes
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
        looks={"still": len(answers)},
    )
