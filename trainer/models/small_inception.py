"""NNS1 and NNS2: the paper's networks for phones, of which it gives input sizes and totals only.

The layouts are ours: Inception blocks as in NN2, narrower, and a maxout layer over the last grid instead of the average
over it. The published totals (26 M parameters for 220 M multiply-adds, 4.3 M for 20 M) leave no other way: an Inception
network with that many parameters in its convolutions would cost several times the arithmetic.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from torch import nn

from trainer.models.facenet_inception import inception_blocks
from trainer.models.inception import InceptionRow, Pooling
from trainer.models.layers import (
    Convolution,
    L2Normalise,
    Maxout,
    Normalisation,
    embedding_layer,
    local_response,
    max_pool,
)


@dataclass(frozen=True, slots=True)
class SmallLayout:
    """What tells one small network from another.

    Attributes:
        stem: channels of conv1 (3x3, stride 2).
        second: channels of conv2 (3x3, stride 1).
        rows: the Inception blocks.
        cells: rows times columns of the last grid.
        hidden: outputs of the maxout layer.
    """

    stem: int
    second: int
    rows: tuple[InceptionRow, ...]
    cells: int
    hidden: int


NNS1 = SmallLayout(
    stem=32,
    second=64,
    rows=(
        InceptionRow("3a", 48, 48, 64, 16, 32, Pooling.MAX, 32),
        InceptionRow("3b", 64, 48, 96, 16, 32, Pooling.L2, 32),
        InceptionRow("3c", 0, 64, 128, 16, 32, Pooling.MAX, 0, stride=2),
        InceptionRow("4a", 112, 64, 128, 16, 32, Pooling.L2, 64),
        InceptionRow("4b", 128, 64, 160, 16, 32, Pooling.L2, 64),
        InceptionRow("4c", 0, 96, 192, 32, 64, Pooling.MAX, 0, stride=2),
        InceptionRow("5a", 128, 96, 192, 0, 0, Pooling.L2, 64),
        InceptionRow("5b", 128, 96, 192, 0, 0, Pooling.MAX, 64),
    ),
    cells=6 * 6,
    hidden=880,
)
NNS2 = SmallLayout(
    stem=16,
    second=28,
    rows=(
        InceptionRow("3a", 16, 16, 24, 8, 8, Pooling.L2, 8),
        InceptionRow("3b", 0, 32, 64, 8, 16, Pooling.MAX, 0, stride=2),
        InceptionRow("4a", 48, 32, 64, 8, 16, Pooling.L2, 16),
        InceptionRow("4b", 0, 48, 96, 8, 32, Pooling.MAX, 0, stride=2),
        InceptionRow("5a", 96, 48, 128, 0, 0, Pooling.L2, 32),
    ),
    cells=5 * 4,
    hidden=392,
)


def small(layout: SmallLayout, dimension: int, normalisation: Normalisation) -> nn.Sequential:
    """A network of a small layout."""
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    blocks["conv1"] = Convolution(3, layout.stem, 3, stride=2, normalisation=normalisation)
    blocks["pool1"] = nn.Sequential(max_pool(), *local_response(normalisation))
    blocks["conv2"] = Convolution(layout.stem, layout.second, 3, normalisation=normalisation)
    blocks["pool2"] = nn.Sequential(*local_response(normalisation), max_pool())
    inceptions, channels = inception_blocks(layout.rows, layout.second, normalisation)
    blocks.update(inceptions)
    blocks["concat"] = nn.Flatten()
    blocks["fc1"] = Maxout(channels * layout.cells, layout.hidden)
    blocks["fc"] = embedding_layer(layout.hidden, dimension)
    blocks["L2"] = L2Normalise()
    return nn.Sequential(blocks)


def nns1(dimension: int, normalisation: Normalisation) -> nn.Sequential:
    """NNS1 for (N, 3, 165, 165) images."""
    return small(NNS1, dimension, normalisation)


def nns2(dimension: int, normalisation: Normalisation) -> nn.Sequential:
    """NNS2 for (N, 3, 140, 116) images, higher than wide as faces are."""
    return small(NNS2, dimension, normalisation)
