"""Two images: the same person? One image: its embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from server.domain import Embeddings, EncodedImage
from server.errors import InvalidInputError
from server.pipeline.recognise import Recogniser
from server.pipeline.vision import Analysis
from server.vision.decode import decode


@dataclass(frozen=True, slots=True)
class Verdict:
    """How near two faces are.

    Attributes:
        distance: squared L2.
        threshold: the distance that had to be beaten, squared L2.
        analyses: the one face of each image.
    """

    distance: float
    threshold: float
    analyses: tuple[Analysis, Analysis]


def embed_image(recogniser: Recogniser, encoded: EncodedImage, *, mirrored: bool) -> tuple[Analysis, Embeddings]:
    """Every face of an image and its embedding, (N, D) float32 unit rows.

    Raises:
        ImageError: the bytes are no image within the limits.
    """
    image = decode(encoded, recogniser.limits)
    vision = recogniser.vision
    analysis = vision.analyse(image, vision.detector.detect(image))
    return analysis, vision.embedder.embed(analysis.crops, mirrored=mirrored)


def verify(recogniser: Recogniser, first: EncodedImage, second: EncodedImage, *, far: float) -> Verdict:
    """How near the faces of two images are, each embedded with its mirror image.

    Raises:
        ImageError: one is no image within the limits.
        InvalidInputError: one does not hold exactly one face.
    """
    parts = [_only_face(recogniser, image, field) for image, field in ((first, "first"), (second, "second"))]
    (first_analysis, a), (second_analysis, b) = parts
    distance = float(np.sum((a - b) ** 2))
    return Verdict(distance, recogniser.rule.threshold(far, 1), (first_analysis, second_analysis))


def _only_face(recogniser: Recogniser, image: EncodedImage, field: str) -> tuple[Analysis, Embeddings]:
    analysis, embeddings = embed_image(recogniser, image, mirrored=True)
    if len(embeddings) != 1:
        reason = "NO_FACE" if len(embeddings) == 0 else "MULTIPLE_FACES"
        raise InvalidInputError(
            reason,
            f"the {field} image holds {len(embeddings)} faces; send images with exactly one",
            field=field,
        )
    return analysis, embeddings
