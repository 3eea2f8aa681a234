"""Crops to embeddings, many at a time: the same code for networks in training and for model folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from server.domain import PixelSpec
from trainer.data.crops import read_crop, to_input
from trainer.models.layers import device_of

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(N, H, W, 3) uint8 BGR crops -> (N, D) float32 embeddings of L2 norm 1."""


def of_network(network: nn.Module, pixels: PixelSpec) -> Embed:
    """Embeds with a network of torch, in evaluation mode; the mode that it was in is restored."""

    def embed(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        training = network.training
        network.eval()
        with torch.no_grad():
            answer = network(to_input(torch.from_numpy(images), pixels, device_of(network)))
        network.train(training)
        return np.asarray(answer.float().cpu().numpy(), np.float32)

    return embed


def embed_files(
    paths: Sequence[Path], embed: Embed, *, height: int, width: int, chunk: int = 128
) -> NDArray[np.float32]:
    """The embeddings (N, D) of crops in files, which are resized to (height, width).

    Raises:
        DatasetError: when a file is missing, empty or no photograph, or there is none.
    """
    parts = [embed(images) for images in _images(paths, height, width, chunk)]
    return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)


def _images(paths: Sequence[Path], height: int, width: int, chunk: int) -> Iterator[NDArray[np.uint8]]:
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(paths), chunk):
            part = paths[start : start + chunk]
            yield np.stack(list(pool.map(lambda path: read_crop(path, height=height, width=width), part)))
