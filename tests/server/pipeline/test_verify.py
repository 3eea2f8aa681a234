"""Two images: how near their faces are. One image: its embeddings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from server.domain import Codec, EncodedImage
from server.errors import ImageError, InvalidInputError
from server.pipeline.verify import embed_image, verify
from tests.painted import DIMENSION, PaintedFace, between, image, person
from tests.server.pipeline.parts import FAR

ADA = PaintedFace(person(1), x=60, y=60)
BOB = PaintedFace(person(2), side=48, x=140, y=140)


@pytest.mark.parametrize("distance", [0.0, 0.5, 1.4])
def test_the_distance_is_that_of_the_faces(recogniser, distance):
    verdict = verify(recogniser, image(ADA), image(PaintedFace(between(1, 4, distance))), far=FAR)
    assert abs(verdict.distance - distance) < 0.02


def test_both_ways_round_the_distance_is_the_same(recogniser):
    there, back = (verify(recogniser, image(a), image(b), far=FAR) for a, b in ((ADA, BOB), (BOB, ADA)))
    assert there.distance == pytest.approx(back.distance)


def test_the_threshold_is_that_of_one_comparison_and_grows_with_the_rate(recogniser):
    thresholds = [verify(recogniser, image(ADA), image(BOB), far=far).threshold for far in (1e-4, 1e-3, 1e-2)]
    assert thresholds[0] == pytest.approx(0.8)
    assert thresholds[2] == pytest.approx(1.2)
    assert thresholds == sorted(thresholds)


@pytest.mark.parametrize(
    ("first", "second", "field", "reason"),
    [
        (image(), image(ADA), "first", "NO_FACE"),
        (image(ADA), image(), "second", "NO_FACE"),
        (image(ADA, BOB), image(ADA), "first", "MULTIPLE_FACES"),
        (image(ADA), image(ADA, BOB), "second", "MULTIPLE_FACES"),
    ],
)
def test_an_image_without_exactly_one_face_is_refused_by_its_name(recogniser, first, second, field, reason):
    with pytest.raises(InvalidInputError) as refused:
        verify(recogniser, first, second, far=FAR)
    assert (refused.value.field, refused.value.reason) == (field, reason)


def test_what_is_no_image_is_an_image_error(recogniser):
    junk = EncodedImage(Codec.UNSPECIFIED, b"junk")
    for pair in ((junk, image(ADA)), (image(ADA), junk)):
        with pytest.raises(ImageError):
            verify(recogniser, *pair, far=FAR)


def test_every_face_of_an_image_is_embedded_the_largest_first(recogniser):
    analysis, embeddings = embed_image(recogniser, image(BOB, ADA), mirrored=False)
    assert [quality.size_px for quality in analysis.qualities] == [64, 48]
    np.testing.assert_allclose(embeddings @ np.asarray([person(1), person(2)]).T, np.eye(2), atol=0.05)


def test_an_image_without_faces_has_no_embeddings(recogniser):
    _, embeddings = embed_image(recogniser, image(), mirrored=True)
    assert embeddings.shape == (0, DIMENSION)


def test_the_image_limits_hold(recogniser):
    tight = replace(recogniser, limits=replace(recogniser.limits, max_pixels=100))
    with pytest.raises(ImageError) as refused:
        embed_image(tight, image(ADA), mirrored=False)
    assert refused.value.reason == "IMAGE_PIXELS_EXCEEDED"
