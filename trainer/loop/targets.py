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


class OfTheBatch:
    """The older model sees what the network sees.

    No answer is used twice, and all crops of a step are asked about together, so that a resumed run gets the answers of
    an uninterrupted one.
    """

    def __init__(self, older: Embed) -> None:
        """Asks `older`."""
        self._older = older

    def of(self, request: Request, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The embeddings of the changed crops."""
        return self._older(images)
