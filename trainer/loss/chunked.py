"""Gradients of a loss over a batch that is larger than memory (Gao et al. 2021, "gradient cache").

The triplet loss looks at all embeddings of a batch at once, but an embedding depends on its own image alone. So the
images are embedded in chunks without keeping their activations, the loss and its gradient with respect to the
embeddings are computed for the whole batch, and each chunk is then embedded once more to carry its part of that
gradient into the network. Memory is that of one chunk, whatever the batch.

Batch normalisation sees a chunk, not the batch, in both passes alike; its running statistics are updated once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Input = Callable[[int], Tensor]
"""The network's input for a chunk, by its number: (n, 3, H, W) float32 on the network's device."""

Precision = Callable[[], AbstractContextManager[object]]
"""Opens the context that the network runs in, such as autocast."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """A batch after the first pass.

    Attributes:
        embeddings: (B, D) float32 without a graph.
        states: of the random generators before each chunk, so that dropout repeats itself.
        sizes: rows of each chunk.
        graph: the embeddings with their graph when there was one chunk only, which saves the second pass.
    """

    embeddings: Tensor
    states: tuple[Sequence[Tensor], ...]
    sizes: tuple[int, ...]
    graph: Tensor | None


def embed_chunks(network: nn.Module, inputs: Input, chunks: int, precision: Precision = nullcontext) -> Embedded:
    """Embeds the chunks 0..chunks-1; activations are kept only when there is one chunk.

    The network stays in the mode that it is in. Its running statistics don't change, unless there is one chunk only.
    """
    if chunks == 1:
        with precision():
            graph = network(inputs(0))
        return Embedded(graph.detach(), (), (len(graph),), graph)
    parts, states = [], []
    with torch.no_grad(), frozen_statistics(network):
        for number in range(chunks):
            states.append(_random_state())
            with precision():
                parts.append(network(inputs(number)))
    sizes = tuple(len(part) for part in parts)
    return Embedded(torch.cat(parts), tuple(states), sizes, None)


def backward_chunks(
    network: nn.Module, inputs: Input, embedded: Embedded, gradient: Tensor, *, precision: Precision = nullcontext
) -> None:
    """Adds the gradient of the loss to the parameters' `.grad`.

    Args:
        network: as in `embed_chunks`, unchanged since.
        inputs: as in `embed_chunks`; asked for every chunk a second time.
        embedded: what `embed_chunks` answered.
        gradient: (B, D), of the loss with respect to the embeddings.
        precision: as in `embed_chunks`.
    """
    if embedded.graph is not None:
        torch.autograd.backward(embedded.graph, gradient)
        return
    parts = torch.split(gradient, list(embedded.sizes))
    for number, (state, part) in enumerate(zip(embedded.states, parts, strict=True)):
        _restore_random_state(state)
        with precision():
            embeddings = network(inputs(number))
        torch.autograd.backward(embeddings, part)


@contextmanager
def frozen_statistics(network: nn.Module) -> Iterator[None]:
    """Keeps batch normalisation from updating its running statistics, though it still uses the batch's own."""
    norms = [layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 0.0
            norm.num_batches_tracked = None
        yield
    finally:
        for norm, (momentum, tracked) in zip(norms, kept, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked = tracked


def _random_state() -> tuple[Tensor, ...]:
    states = [torch.get_rng_state()]
    if torch.cuda.is_available():
        states.append(torch.cuda.get_rng_state())
    return tuple(states)


def _restore_random_state(states: Sequence[Tensor]) -> None:
    torch.set_rng_state(states[0])
    if len(states) > 1:
        torch.cuda.set_rng_state(states[1])
