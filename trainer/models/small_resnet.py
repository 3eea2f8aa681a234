"""A residual network for small training sets and slow processors: many layers where the grid is small.

The layout is ours. The stem shrinks the grid fourfold at once, since on a processor the first layers of a network cost
most of its time and learn least; then come basic residual blocks (He et al. 2016). The last grid is not averaged but
weighed, each channel by a filter of its own as large as the grid (Chen et al. 2018, MobileFaceNets, section 3.1): faces
are aligned, so that each cell of the grid shows the same part of every face.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from trainer.models.layers import Convolution, L2Normalise, embedding_layer

STAGES = ((32, 1, 1), (64, 1, 2), (128, 2, 2), (256, 2, 2))
"""Channels, blocks, and stride of the first block of each stage."""

GRID = 4
"""Side of the last grid for 112x112 images."""


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and the input, added; where their shapes differ the input is projected."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = Convolution(inputs, outputs, 3, stride=stride)
        self.second = _linear(inputs=outputs, outputs=outputs, kernel=3, stride=1)
        same = inputs == outputs and stride == 1
        self.skip: nn.Module = nn.Identity() if same else _linear(inputs, outputs, kernel=1, stride=stride)

    def forward(self, images: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, ceil(H / stride), ceil(W / stride))."""
        return torch.relu(self.second(self.first(images)) + self.skip(images))


def _linear(inputs: int, outputs: int, *, kernel: int, stride: int) -> nn.Sequential:
    """Convolution and batch normalisation."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="linear")
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


def resnet_s(dimension: int) -> nn.Sequential:
    """The network for (N, 3, 112, 112) images: 2.7 M parameters, 89 M multiply-adds."""
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    inputs = STAGES[0][0]
    blocks["stem"] = Convolution(3, inputs, 7, stride=4)
    for stage, (outputs, count, stride) in enumerate(STAGES, start=1):
        for number in range(count):
            name = f"res{stage}{'abc'[number]}"
            blocks[name] = BasicBlock(inputs, outputs, stride if number == 0 else 1)
            inputs = outputs
    weigh = nn.Conv2d(inputs, inputs, GRID, groups=inputs, bias=False)
    nn.init.normal_(weigh.weight, mean=GRID**-2, std=0.5 * GRID**-2)
    blocks["weigh"] = nn.Sequential(weigh, nn.BatchNorm2d(inputs), nn.Flatten())
    blocks["fc"] = embedding_layer(inputs, dimension)
    blocks["L2"] = L2Normalise()
    return nn.Sequential(blocks)
