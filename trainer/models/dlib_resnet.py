"""The residual network of dlib's face recognition (King 2017), with dlib's sizes, so that converted weights fit."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.models.layers import L2Normalise

BLOCKS = (
    *(("32a", 32, 1), ("32b", 32, 1), ("32c", 32, 1)),
    *(("64a", 64, 2), ("64b", 64, 1), ("64c", 64, 1), ("64d", 64, 1)),
    *(("128a", 128, 2), ("128b", 128, 1), ("128c", 128, 1)),
    *(("256a", 256, 2), ("256b", 256, 1), ("256c", 256, 1)),
    ("256d", 256, 2),
)
"""Name, channels and stride of each residual block."""


class Residual(nn.Module):
    """Two 3x3 convolutions and the input, added; zeros fill up whichever of the two is smaller, as dlib does it."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        # dlib pads a convolution of stride 1 only, so that a block of stride 2 answers less than half its input
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1 if stride == 1 else 0)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.skip: nn.Module = nn.AvgPool2d(2) if stride == 2 else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, max(inputs, outputs), ...)."""
        deep = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(images)))))
        skip = self.skip(images)
        shape = [max(pair) for pair in zip(deep.shape[1:], skip.shape[1:], strict=True)]
        return functional.relu(_grow(deep, shape) + _grow(skip, shape))


def _grow(images: Tensor, shape: list[int]) -> Tensor:
    channels, height, width = (wanted - size for wanted, size in zip(shape, images.shape[1:], strict=True))
    if not (channels or height or width):
        return images
    return functional.pad(images, (0, width, 0, height, 0, channels))


def dlib_resnet(dimension: int) -> nn.Sequential:
    """Dlib's network for (N, 3, 150, 150) images: 29 convolutions, 5.6 M parameters."""
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    blocks["stem"] = nn.Sequential(nn.Conv2d(3, 32, 7, stride=2), nn.BatchNorm2d(32), nn.ReLU())
    blocks["pool"] = nn.MaxPool2d(3, stride=2)
    inputs = 32
    for name, outputs, stride in BLOCKS:
        blocks[f"res{name}"] = Residual(inputs, outputs, stride)
        inputs = outputs
    blocks["avgpool"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    blocks["fc"] = nn.Linear(inputs, dimension, bias=False)
    blocks["L2"] = L2Normalise()
    network = nn.Sequential(blocks)
    _initialise(network)
    return network


def _initialise(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, Residual):
                # each block starts as the identity, so that depth costs nothing at first
                nn.init.zeros_(module.norm2.weight)
