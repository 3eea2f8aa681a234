"""The processes that train together: each embeds its share of a batch, and all see all embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn


class World(Protocol):
    """The processes of a run.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
    """

    rank: int
    size: int

    def gather(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """The rows of all processes, (sum of counts, D), in the order of their ranks; `counts` are their lengths."""
        ...

    def sum_gradients(self, network: nn.Module) -> None:
        """Gives every process the sum of all processes' gradients."""
        ...

    def average_statistics(self, network: nn.Module) -> None:
        """Gives every process the mean of the running statistics of batch normalisation."""
        ...

    def from_first(self, value: float) -> float:
        """The number that the process of rank 0 passes."""
        ...


class Alone:
    """A single process."""

    rank = 0
    size = 1

    def gather(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """The rows."""
        return rows

    def sum_gradients(self, network: nn.Module) -> None:
        """Nothing is to be done."""

    def average_statistics(self, network: nn.Module) -> None:
        """Nothing is to be done."""

    def from_first(self, value: float) -> float:
        """The number."""
        return value


class Together:
    """Processes that torchrun started; `torch.distributed` must be initialised."""

    def __init__(self) -> None:
        from torch import distributed

        self.rank = distributed.get_rank()
        self.size = distributed.get_world_size()

    def gather(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """The rows of all processes in the order of their ranks."""
        from torch import distributed

        padded = rows.new_zeros((max(counts), *rows.shape[1:]))
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        distributed.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    def sum_gradients(self, network: nn.Module) -> None:
        """One message for all gradients; absent ones count as 0."""
        from torch import distributed

        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        for gradient, part in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def average_statistics(self, network: nn.Module) -> None:
        """One message for all statistics; counters are left alone."""
        from torch import distributed

        statistics = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
        if not statistics:
            return
        flat = torch.cat([buffer.flatten() for buffer in statistics]) / self.size
        distributed.all_reduce(flat)
        for buffer, part in zip(statistics, torch.split(flat, [s.numel() for s in statistics]), strict=True):
            buffer.copy_(part.view_as(buffer))

    def from_first(self, value: float) -> float:
        """The number of rank 0."""
        from torch import distributed

        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        message = torch.tensor([value], dtype=torch.float64, device=device)
        distributed.broadcast(message, 0)
        return float(message.item())


def chunk_sizes(faces: int, chunk: int, *, least: int = 1) -> tuple[int, ...]:
    """Sizes of the fewest chunks of at most `chunk` faces, as equal as can be, but of at least `least` chunks."""
    count = max(least, -(-faces // chunk))
    return tuple(faces // count + (number < faces % count) for number in range(count))


def share(chunks: int, rank: int, size: int) -> range:
    """The numbers of the chunks that a process embeds: neighbours, so that gathering keeps the batch's order."""
    return range(chunks * rank // size, chunks * (rank + 1) // size)
