"""The layers that the paper's networks share."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

import torch
from torch import Tensor, nn
from torch.nn import functional


class Normalisation(Enum):
    """What keeps the activations of a deep network in range.

    LOCAL_RESPONSE is the paper's: convolutions with biases, and local response normalisation where its tables have
    it. BATCH puts a batch normalisation behind every convolution instead; it came out in the same month as the paper,
    and networks train far faster with it. Both run equally fast once exported.
    """

    LOCAL_RESPONSE = "local-response"
    BATCH = "batch"


class Convolution(nn.Module):
    """Convolution, batch normalisation where asked for, and ReLU, padded so that stride 1 keeps the size."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        normalisation: Normalisation = Normalisation.BATCH,
    ) -> None:
        super().__init__()
        batch = normalisation is Normalisation.BATCH
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=not batch)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_in", nonlinearity="relu")
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)
        self.norm: nn.Module = nn.BatchNorm2d(outputs) if batch else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """(N, inputs, H, W) float -> (N, outputs, ceil(H / stride), ceil(W / stride)) float, 0 or more."""
        return functional.relu(self.norm(self.conv(images)))


def max_pool() -> nn.MaxPool2d:
    """The paper's max pooling: 3x3, stride 2, output size ceil(size / 2)."""
    return nn.MaxPool2d(3, stride=2, padding=1)


class L2Pool(nn.Module):
    """Root of the mean square over 3x3 neighbourhoods, stride 1.

    Networks of the paper's time took the root of the sum; the mean differs by the constant factor 3, which the
    projection behind it absorbs, and keeps the activations in range.
    """

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) float -> the same shape and dtype; computed in float32, since squares leave float16's range."""
        squares = functional.avg_pool2d(images.float().square(), 3, stride=1, padding=1)
        return (squares + 1e-6).sqrt().to(images.dtype)


class LocalResponseNorm(nn.Module):
    """x / (1 + 1e-4 * mean of squares over 5 neighbouring channels) ** 0.75 (Krizhevsky et al. 2012).

    The same as torch's own, written with operations that become plain ONNX without branches.
    """

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        padded = functional.pad(images.square(), (0, 0, 0, 0, 2, 2))
        total = padded[:, 4:] + padded[:, 3:-1] + padded[:, 2:-2] + padded[:, 1:-3] + padded[:, :-4]
        return images / (1 + 1e-4 / 5 * total) ** 0.75


class Maxout(nn.Module):
    """The greater of `pieces` linear functions for each output (Goodfellow et al. 2013)."""

    def __init__(self, inputs: int, outputs: int, pieces: int = 2) -> None:
        super().__init__()
        self.outputs, self.pieces = outputs, pieces
        self.linear = nn.Linear(inputs, outputs * pieces)
        nn.init.kaiming_normal_(self.linear.weight, nonlinearity="linear")
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs) -> (N, outputs)."""
        pieces: Tensor = self.linear(features)
        return pieces.reshape(-1, self.outputs, self.pieces).amax(dim=2)


class L2Normalise(nn.Module):
    """Puts embeddings on the unit sphere, in float32 whatever the precision before it."""

    def forward(self, embeddings: Tensor) -> Tensor:
        """(N, D) -> (N, D) float32, each row with L2 norm 1."""
        return functional.normalize(embeddings.float(), dim=1, eps=1e-6)


def local_response(normalisation: Normalisation) -> Iterator[nn.Module]:
    """The local response normalisation of the tables' "norm" rows, or nothing for batch-normalised networks."""
    if normalisation is Normalisation.LOCAL_RESPONSE:
        yield LocalResponseNorm()


def embedding_layer(inputs: int, dimension: int) -> nn.Linear:
    """The last fully connected layer."""
    layer = nn.Linear(inputs, dimension)
    nn.init.normal_(layer.weight, std=inputs**-0.5)
    nn.init.zeros_(layer.bias)
    return layer


def parameter_count(module: nn.Module) -> int:
    """Number of trainable values."""
    return sum(parameter.numel() for parameter in module.parameters())


def device_of(module: nn.Module) -> torch.device:
    """The device that holds the module's parameters."""
    return next(module.parameters()).device
