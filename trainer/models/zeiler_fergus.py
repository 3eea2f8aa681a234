"""NN1: Zeiler and Fergus' network with 1x1 convolutions between (Schroff et al. 2015, table 1)."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from trainer.models.layers import (
    Convolution,
    L2Normalise,
    Maxout,
    Normalisation,
    embedding_layer,
    local_response,
    max_pool,
)


def nn1(dimension: int, normalisation: Normalisation) -> nn.Sequential:
    """NN1 for (N, 3, 220, 220) images: 140 M parameters, of which 136 M in the two maxout layers.

    The "concat" row of the table, which joins what the authors' machines computed apart, is the flattening here.
    """
    blocks: OrderedDict[str, nn.Module] = OrderedDict()

    def convolution(name: str, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        blocks[name] = Convolution(inputs, outputs, kernel, stride=stride, normalisation=normalisation)

    def norm(name: str) -> None:
        for layer in local_response(normalisation):
            blocks[name] = layer

    convolution("conv1", 3, 64, 7, 2)
    blocks["pool1"] = max_pool()
    norm("rnorm1")
    convolution("conv2a", 64, 64, 1)
    convolution("conv2", 64, 192, 3)
    norm("rnorm2")
    blocks["pool2"] = max_pool()
    convolution("conv3a", 192, 192, 1)
    convolution("conv3", 192, 384, 3)
    blocks["pool3"] = max_pool()
    convolution("conv4a", 384, 384, 1)
    convolution("conv4", 384, 256, 3)
    convolution("conv5a", 256, 256, 1)
    convolution("conv5", 256, 256, 3)
    convolution("conv6a", 256, 256, 1)
    convolution("conv6", 256, 256, 3)
    blocks["pool4"] = max_pool()
    blocks["concat"] = nn.Flatten()
    blocks["fc1"] = Maxout(7 * 7 * 256, 32 * 128)
    blocks["fc2"] = Maxout(32 * 128, 32 * 128)
    blocks["fc7128"] = embedding_layer(32 * 128, dimension)
    blocks["L2"] = L2Normalise()
    return nn.Sequential(blocks)
