"""What the older model says about the crops of a batch, which a compatible network learns."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trainer.data.crops import CropReader, Request
from trainer.evaluate.embed import Embed, embed_files


class Targets(Protocol):
    """Embeddings of the older model."""

    def of(self, request: Request, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, D) for the crops (n, H, W, 3) that the request was answered with."""
        ...


class OfTheCrops:
    """The older model sees each crop once, as it is."""

    def __init__(self, older: Embed, reader: CropReader) -> None:
        """Embeds all crops of the reader's catalog."""
        self._all = embed_files(reader.catalog.paths, older, height=reader.height, width=reader.width)

    def of(self, request: Request, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The embeddings of the unchanged crops."""
        return self._all[request.indices[request.rows]]


class OfTheVariants:
    """The older model sees what the network sees; each variant of a crop is embedded when it first comes.

    Memory is that of one embedding for each variant of each crop.
    """

    def __init__(self, older: Embed, reader: CropReader, dimension: int) -> None:
        """Makes room for the embeddings of the reader's variants."""
        self._older, self._reader = older, reader
        crops, variants = len(reader.catalog), reader.variants
        self._known = np.zeros((crops, variants), bool)
        self._seen = np.zeros((crops, variants, dimension), np.float32)

    def of(self, request: Request, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The embeddings of the changed crops."""
        crops, variants = request.indices[request.rows], self._reader.variants_of(request)
        new = np.flatnonzero(~self._known[crops, variants])
        for row in new:
            # one at a time: which others are new depends on where a run was resumed, and a matrix product's last bits
            # on how many rows it has
            self._seen[crops[row], variants[row]] = self._older(images[row : row + 1])[0]
        self._known[crops[new], variants[new]] = True
        return self._seen[crops, variants]
