"""The Inception block of NN2 and its smaller relatives (Szegedy et al. 2014; Schroff et al. 2015, table 2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor, nn

from trainer.models.layers import Convolution, L2Pool, Normalisation


class Pooling(Enum):
    """What the pooling branch computes over 3x3 neighbourhoods."""

    MAX = "max"
    L2 = "l2"


@dataclass(frozen=True, slots=True)
class InceptionRow:
    """One row of an Inception table; the fields are its columns, 0 where a column is empty.

    Attributes:
        name: such as "3a".
        one: channels of the 1x1 branch.
        three_reduce: channels of the 1x1 reduction before the 3x3.
        three: channels of the 3x3 branch.
        five_reduce: channels of the 1x1 reduction before the 5x5.
        five: channels of the 5x5 branch.
        pooling: the kind of the pooling branch.
        project: channels of the 1x1 projection behind the pooling; 0 passes the pooled input through.
        stride: of the 3x3, the 5x5 and the pooling; the 1x1 branch exists at stride 1 only.
    """

    name: str
    one: int
    three_reduce: int
    three: int
    five_reduce: int
    five: int
    pooling: Pooling
    project: int
    stride: int = 1

    def outputs(self, inputs: int) -> int:
        """Channels of the block's output."""
        return self.one + self.three + self.five + (self.project or inputs)


class Inception(nn.Module):
    """Branches of 1x1, 3x3, 5x5 convolutions and pooling, concatenated in this order."""

    def __init__(self, inputs: int, row: InceptionRow, normalisation: Normalisation) -> None:
        super().__init__()

        def convolution(channels: int, outputs: int, kernel: int, stride: int = 1) -> Convolution:
            return Convolution(channels, outputs, kernel, stride=stride, normalisation=normalisation)

        branches: list[nn.Module] = []
        if row.one:
            branches.append(convolution(inputs, row.one, 1))
        for kernel, reduce, outputs in (
            (3, row.three_reduce, row.three),
            (5, row.five_reduce, row.five),
        ):
            if outputs:
                branches.append(
                    nn.Sequential(
                        convolution(inputs, reduce, 1),
                        convolution(reduce, outputs, kernel, row.stride),
                    )
                )
        pool = nn.MaxPool2d(3, stride=row.stride, padding=1) if row.pooling is Pooling.MAX else L2Pool()
        project = [convolution(inputs, row.project, 1)] if row.project else []
        branches.append(nn.Sequential(pool, *project))
        self.branches = nn.ModuleList(branches)

    def forward(self, images: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, row.outputs(inputs), ceil(H / stride), ceil(W / stride))."""
        return torch.cat([branch(images) for branch in self.branches], dim=1)
