"""Parameters and multiply-adds of a network, block by block, as in the paper's tables 1 and 2."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from trainer.models.build import architecture, build
from trainer.models.layers import Normalisation, parameter_count


@dataclass(frozen=True, slots=True)
class Row:
    """One block.

    Attributes:
        name: of the block.
        output: its output's shape without the batch: (channels, height, width) or (features,).
        parameters: trainable values.
        multiply_adds: for one image. A bias counts as one for each output, as in the paper, and so does the scale and
            shift of a batch normalisation; pooling and local response normalisation count nothing.
    """

    name: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int


def table(name: str, *, dimension: int = 128, normalisation: Normalisation | None = None) -> tuple[Row, ...]:
    """The rows of a network; nothing is computed or allocated but shapes.

    Raises:
        RecipeError: when there is no such network.
    """
    found = architecture(name)
    with torch.device("meta"):
        network = build(name, dimension=dimension, normalisation=normalisation).eval()
        return rows(network, torch.zeros(1, 3, found.height, found.width))


def rows(network: nn.Sequential, images: Tensor) -> tuple[Row, ...]:
    """The rows of any sequential network for a batch of one image."""
    answer = []
    for name, block in network.named_children():
        counter = _Counter(block)
        images = block(images)
        counter.remove()
        answer.append(Row(name, tuple(images.shape[1:]), parameter_count(block), counter.multiply_adds))
    return tuple(answer)


class _Counter:
    """Adds up the multiply-adds of the layers of a block while it runs."""

    def __init__(self, block: nn.Module) -> None:
        self.multiply_adds = 0
        self._handles: list[RemovableHandle] = [layer.register_forward_hook(self._count) for layer in block.modules()]

    def _count(self, layer: nn.Module, _: object, output: Tensor) -> None:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            places = output.numel() // layer.weight.shape[0]
            self.multiply_adds += places * parameter_count(layer)
        elif isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d):
            self.multiply_adds += output.numel()

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()
