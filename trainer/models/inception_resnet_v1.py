"""Inception-ResNet-v1 (Szegedy et al. 2016) with the layer names of the widely used PyTorch port.

The names (`conv2d_1a.conv.weight`, `repeat_1.0.branch0.bn.bias`, `last_linear.weight`, ...) are those of the
facenet-pytorch package, so that state_dicts made for it load by name; its classifier `logits` is left out.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.models.layers import L2Normalise

Kernel = int | tuple[int, int]
Branches = tuple[tuple[tuple[Kernel, Kernel], ...], ...]


class BasicConv2d(nn.Module):
    """Convolution, batch normalisation, ReLU; unpadded unless told."""

    def __init__(self, inputs: int, outputs: int, kernel: Kernel, *, stride: int = 1, padding: Kernel = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, images: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H', W')."""
        return functional.relu(self.bn(self.conv(images)))


@dataclass(frozen=True, slots=True)
class Residual:
    """A residual Inception block.

    Attributes:
        channels: of its input and output.
        width: channels of each convolution in its branches.
        scale: what the branches' sum is multiplied by before it is added.
        activated: whether a ReLU follows.
    """

    channels: int
    width: int
    scale: float
    activated: bool = True


class Block(nn.Module):
    """A residual Inception block of the given branches, each a list of (kernel, padding) after the first 1x1."""

    def __init__(self, spec: Residual, branches: Branches) -> None:
        super().__init__()
        self.spec = spec
        self.branch0 = BasicConv2d(spec.channels, spec.width, 1)
        for number, kernels in enumerate(branches, start=1):
            layers = [BasicConv2d(spec.channels, spec.width, 1)]
            layers += [BasicConv2d(spec.width, spec.width, kernel, padding=padding) for kernel, padding in kernels]
            self.add_module(f"branch{number}", nn.Sequential(*layers))
        self.count = len(branches) + 1
        self.conv2d = nn.Conv2d(spec.width * self.count, spec.channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, H, W) -> the same shape."""
        parts = [self.get_submodule(f"branch{number}")(images) for number in range(self.count)]
        out: Tensor = self.conv2d(torch.cat(parts, dim=1)) * self.spec.scale + images
        return functional.relu(out) if self.spec.activated else out


def block35() -> Block:
    """Inception-ResNet-A, on the 17x17 grid of 160x160 images."""
    return Block(Residual(256, 32, 0.17), (((3, 1),), ((3, 1), (3, 1))))


def block17() -> Block:
    """Inception-ResNet-B, on the 8x8 grid of 160x160 images."""
    return Block(Residual(896, 128, 0.10), ((((1, 7), (0, 3)), ((7, 1), (3, 0))),))


def block8(scale: float = 0.20, *, activated: bool = True) -> Block:
    """Inception-ResNet-C, on the 3x3 grid of 160x160 images."""
    return Block(Residual(1792, 192, scale, activated), ((((1, 3), (0, 1)), ((3, 1), (1, 0))),))


class Reduction(nn.Module):
    """Branches that halve the grid, the last of them a max pooling, concatenated."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.count = len(branches) + 1
        for number, branch in enumerate((*branches, nn.MaxPool2d(3, stride=2))):
            self.add_module(f"branch{number}", branch)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', (H - 1) // 2, (W - 1) // 2)."""
        parts = [self.get_submodule(f"branch{number}")(images) for number in range(self.count)]
        return torch.cat(parts, dim=1)


def mixed_6a() -> Reduction:
    """256 channels to 896."""
    return Reduction(
        BasicConv2d(256, 384, 3, stride=2),
        nn.Sequential(
            BasicConv2d(256, 192, 1),
            BasicConv2d(192, 192, 3, padding=1),
            BasicConv2d(192, 256, 3, stride=2),
        ),
    )


def mixed_7a() -> Reduction:
    """896 channels to 1792."""
    return Reduction(
        nn.Sequential(BasicConv2d(896, 256, 1), BasicConv2d(256, 384, 3, stride=2)),
        nn.Sequential(BasicConv2d(896, 256, 1), BasicConv2d(256, 256, 3, stride=2)),
        nn.Sequential(
            BasicConv2d(896, 256, 1),
            BasicConv2d(256, 256, 3, padding=1),
            BasicConv2d(256, 256, 3, stride=2),
        ),
    )


def inception_resnet_v1(dimension: int) -> nn.Sequential:
    """Inception-ResNet-v1 for (N, 3, 160, 160) images; the port's weights have 512 dimensions."""
    blocks: OrderedDict[str, nn.Module] = OrderedDict(
        conv2d_1a=BasicConv2d(3, 32, 3, stride=2),
        conv2d_2a=BasicConv2d(32, 32, 3),
        conv2d_2b=BasicConv2d(32, 64, 3, padding=1),
        maxpool_3a=nn.MaxPool2d(3, stride=2),
        conv2d_3b=BasicConv2d(64, 80, 1),
        conv2d_4a=BasicConv2d(80, 192, 3),
        conv2d_4b=BasicConv2d(192, 256, 3, stride=2),
        repeat_1=nn.Sequential(*(block35() for _ in range(5))),
        mixed_6a=mixed_6a(),
        repeat_2=nn.Sequential(*(block17() for _ in range(10))),
        mixed_7a=mixed_7a(),
        repeat_3=nn.Sequential(*(block8() for _ in range(5))),
        block8=block8(scale=1.0, activated=False),
        avgpool_1a=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        dropout=nn.Dropout(0.6),
        last_linear=nn.Linear(1792, dimension, bias=False),
        last_bn=nn.BatchNorm1d(dimension, eps=0.001),
        L2=L2Normalise(),
    )
    return nn.Sequential(blocks)
