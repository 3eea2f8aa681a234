from __future__ import annotations

import numpy as np
import pytest

from server.domain import ColourOrder
from server.errors import ModelError
from server.inference.backend import FakeBackend
from server.inference.manifest import Kind, Manifest
from server.inference.parts import Embedder, Input, Pixels, StatedSource
from server.vision.preprocess import to_tensor
from trainer.data.template import template_for
from trainer.evaluate.model_folder import of_backend, through_template


def manifest(*, mirrored):
    return Manifest(
        name="fake",
        version="1",
        kind=Kind.EMBEDDER,
        input=Input(tensor="x", width=8, height=8, pixels=Pixels(colour=ColourOrder.RGB, mean=(9.0, 8.0, 7.0))),
        embedder=Embedder(output="y", dimension=3, template=template_for(8, 8).points, mirrored=mirrored),
        licence="none",
        attribution="none",
        source=StatedSource(text="none"),
        sha256="0" * 64,
    )


def left_half(batch):
    return (batch[..., :4].mean(axis=(2, 3)),)


IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize("mirrored", [False, True])
def test_embeddings_are_those_that_the_manifest_describes(mirrored):
    found = manifest(mirrored=mirrored)
    tensor = to_tensor(IMAGES, found.pixels())
    want = tensor[..., :4].mean(axis=(2, 3))
    if mirrored:
        want = want + tensor[..., 4:].mean(axis=(2, 3))
    want /= np.linalg.norm(want, axis=1, keepdims=True)
    np.testing.assert_allclose(of_backend(found, FakeBackend(left_half))(IMAGES), want, atol=1e-5)


def test_a_manifest_that_does_not_fit_the_network_is_refused_with_both_sizes():
    found = manifest(mirrored=False)
    four = FakeBackend(lambda batch: (np.ones((len(batch), 4), np.float32),))
    with pytest.raises(ModelError, match=r"\(4, 4\).*3 dimensions"):
        of_backend(found, four)(IMAGES)


def test_crops_of_another_template_are_aligned_anew():
    """The 112x112 middle of a higher crop is what a model for 112x112 should see."""
    seen = []

    def embed(images):
        seen.append(images)
        return np.zeros((len(images), 3), np.float32)

    crops = np.random.default_rng(0).integers(0, 256, (2, 140, 112, 3), dtype=np.uint8)
    through_template(embed, template_for(140, 112), template_for(112, 112))(crops)
    assert seen[0].shape == (2, 112, 112, 3)
    assert np.abs(seen[0].astype(int) - crops[:, 14:126]).max() <= 1
