"""NN2, NN3 and NN4: the paper's Inception networks (Schroff et al. 2015, table 2 and section 3.3)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from torch import nn

from trainer.models.inception import Inception, InceptionRow, Pooling
from trainer.models.layers import (
    Convolution,
    L2Normalise,
    Normalisation,
    embedding_layer,
    local_response,
    max_pool,
)

TABLE_2 = (
    InceptionRow("3a", 64, 96, 128, 16, 32, Pooling.MAX, 32),
    InceptionRow("3b", 64, 96, 128, 32, 64, Pooling.L2, 64),
    InceptionRow("3c", 0, 128, 256, 32, 64, Pooling.MAX, 0, stride=2),
    InceptionRow("4a", 256, 96, 192, 32, 64, Pooling.L2, 128),
    InceptionRow("4b", 224, 112, 224, 32, 64, Pooling.L2, 128),
    InceptionRow("4c", 192, 128, 256, 32, 64, Pooling.L2, 128),
    InceptionRow("4d", 160, 144, 288, 32, 64, Pooling.L2, 128),
    InceptionRow("4e", 0, 160, 256, 64, 128, Pooling.MAX, 0, stride=2),
    InceptionRow("5a", 384, 192, 384, 48, 128, Pooling.L2, 128),
    InceptionRow("5b", 384, 192, 384, 48, 128, Pooling.MAX, 128),
)
"""The Inception rows of NN2."""

NN4_WITHOUT_5X5 = frozenset({"4e", "5a", "5b"})
"""NN4 "does not use 5x5 convolutions in the higher layers"; that these three are meant is our reading: without them the
network needs 285 M multiply-adds, the paper's number."""

NN4_ROWS = tuple(replace(row, five_reduce=0, five=0) if row.name in NN4_WITHOUT_5X5 else row for row in TABLE_2)


def inception_blocks(
    rows: tuple[InceptionRow, ...], channels: int, normalisation: Normalisation
) -> tuple[OrderedDict[str, nn.Module], int]:
    """The blocks of a table by name, and the channels of the last one's output."""
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    for row in rows:
        blocks[f"inception{row.name}"] = Inception(channels, row, normalisation)
        channels = row.outputs(channels)
    return blocks, channels


def nn2(dimension: int, normalisation: Normalisation, rows: tuple[InceptionRow, ...] = TABLE_2) -> nn.Sequential:
    """NN2 for (N, 3, 224, 224) images: 7.5 M parameters; NN3 is the same network for 160x160."""
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    blocks["conv1"] = Convolution(3, 64, 7, stride=2, normalisation=normalisation)
    blocks["pool1"] = nn.Sequential(max_pool(), *local_response(normalisation))
    blocks["inception2"] = nn.Sequential(
        Convolution(64, 64, 1, normalisation=normalisation),
        Convolution(64, 192, 3, normalisation=normalisation),
    )
    blocks["pool2"] = nn.Sequential(*local_response(normalisation), max_pool())
    inceptions, channels = inception_blocks(rows, 192, normalisation)
    blocks.update(inceptions)
    blocks["avgpool"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    blocks["fc"] = embedding_layer(channels, dimension)
    blocks["L2"] = L2Normalise()
    return nn.Sequential(blocks)


def nn4(dimension: int, normalisation: Normalisation) -> nn.Sequential:
    """NN4 for (N, 3, 96, 96) images: NN2 without 5x5 convolutions in its last three blocks."""
    return nn2(dimension, normalisation, NN4_ROWS)
