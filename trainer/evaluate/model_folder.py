"""Embeds with any model folder that the server could load."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from server.domain import AlignmentTemplate
from server.errors import ModelError
from server.inference.backend import Backend
from server.inference.manifest import Manifest
from server.vision.align import align
from server.vision.preprocess import to_tensor
from trainer.evaluate.embed import Embed


def through_template(embed: Embed, own: AlignmentTemplate, wanted: AlignmentTemplate) -> Embed:
    """Embeds crops of one template with a model that wants another: they are aligned anew, landmark on landmark."""
    landmarks = np.asarray([own.points], np.float32)

    def aligned(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return embed(np.concatenate([align(image, landmarks, wanted) for image in images]))

    return aligned


def of_backend(manifest: Manifest, backend: Backend) -> Embed:
    """Embeds with a backend as the manifest says; where it says mirrored, the mirrored crop's embedding is added.

    The function raises a ModelError when the network's answers are not what the manifest says.
    """
    pixels, part = manifest.pixels(), manifest.as_embedder()

    def embed(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        tensor = to_tensor(images, pixels)
        vectors = backend.run(tensor)[0]
        if vectors.shape != (len(images), part.dimension):
            raise ModelError(
                "MANIFEST_MISMATCH",
                f"{manifest.model} answers {len(images)} crops with an array of the shape {vectors.shape}, and its "
                f"manifest says that an embedding has {part.dimension} dimensions; correct the manifest",
            )
        if part.mirrored:
            vectors = vectors + backend.run(np.ascontiguousarray(tensor[..., ::-1]))[0]
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    return embed
