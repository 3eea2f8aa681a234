from __future__ import annotations

import pytest
import torch
from torch import nn

from trainer.loss.chunked import backward_chunks, embed_chunks, frozen_statistics
from trainer.loss.distance import squared_l2
from trainer.loss.mining import Mining, mine
from trainer.loss.triplet import triplet_loss
from trainer.models.layers import Convolution, L2Normalise, Normalisation


def network(*, normalisation=Normalisation.LOCAL_RESPONSE, dropout=0.0):
    torch.manual_seed(1)
    return nn.Sequential(
        Convolution(3, 8, 3, stride=2, normalisation=normalisation),
        Convolution(8, 8, 3, normalisation=normalisation),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(8 * 16, 6),
        L2Normalise(),
    ).train()


IMAGES = torch.randn(24, 3, 8, 8, generator=torch.Generator().manual_seed(2))
LABELS = torch.arange(24) // 4


def loss_of(embeddings):
    distances = squared_l2(embeddings, embeddings)
    generator = torch.Generator().manual_seed(3)
    triplets = mine(Mining.RANDOM, distances, LABELS, margin=0.2, generator=generator).triplets
    return triplet_loss(distances, triplets, 0.2).value


def gradients(module):
    return torch.cat([parameter.grad.flatten() for parameter in module.parameters()])


def direct(module, chunks):
    """Every chunk embedded with its graph, all at once."""
    loss = loss_of(torch.cat([module(part) for part in IMAGES.chunk(chunks)]))
    loss.backward()
    return loss.detach(), gradients(module)


def chunked(module, chunks):
    parts = IMAGES.chunk(chunks)
    embedded = embed_chunks(module, parts.__getitem__, chunks)
    leaf = embedded.embeddings.requires_grad_()
    loss = loss_of(leaf)
    (gradient,) = torch.autograd.grad(loss, leaf)
    backward_chunks(module, parts.__getitem__, embedded, gradient)
    return loss.detach(), gradients(module)


@pytest.mark.parametrize("chunks", [1, 2, 5, 24])
def test_the_gradient_in_chunks_is_that_of_the_whole_batch(chunks):
    want_loss, want = direct(network(), 1)
    loss, ours = chunked(network(), chunks)
    torch.testing.assert_close(loss, want_loss, atol=1e-6, rtol=0)
    torch.testing.assert_close(ours, want, atol=1e-5, rtol=1e-5)
    assert want.abs().max() > 1e-3


@pytest.mark.parametrize("chunks", [1, 3])
def test_with_batch_normalisation_it_is_that_of_chunks_embedded_directly(chunks):
    want_loss, want = direct(network(normalisation=Normalisation.BATCH), chunks)
    loss, ours = chunked(network(normalisation=Normalisation.BATCH), chunks)
    torch.testing.assert_close(loss, want_loss, atol=1e-6, rtol=0)
    torch.testing.assert_close(ours, want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("chunks", [1, 3])
def test_running_statistics_are_updated_once(chunks):
    first, second = (network(normalisation=Normalisation.BATCH) for _ in range(2))
    direct(first, chunks)
    chunked(second, chunks)
    for name, value in first.named_buffers():
        torch.testing.assert_close(second.get_buffer(name), value, msg=name)


@pytest.mark.parametrize("chunks", [1, 4])
def test_dropout_drops_the_same_in_both_passes_and_as_the_direct_way_does(chunks):
    torch.manual_seed(9)
    _, want = direct(network(dropout=0.5), chunks)
    first = torch.get_rng_state()
    torch.manual_seed(9)
    _, ours = chunked(network(dropout=0.5), chunks)
    torch.testing.assert_close(ours, want, atol=1e-5, rtol=1e-5)
    assert torch.equal(torch.get_rng_state(), first)


def test_freezing_ends_with_the_block_even_after_an_error():
    module = network(normalisation=Normalisation.BATCH)
    before = {name: value.clone() for name, value in module.named_buffers()}

    def fail():
        with frozen_statistics(module):
            module(IMAGES)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert all(torch.equal(module.get_buffer(name), value) for name, value in before.items())
    module(IMAGES)
    assert not torch.equal(module.get_buffer("0.norm.running_mean"), before["0.norm.running_mean"])
    assert module.get_buffer("0.norm.num_batches_tracked") == 1


class Activations:
    """Counts the bytes that autograd keeps for the way back, and their greatest sum."""

    def __init__(self):
        self.held = self.peak = 0

    def pack(self, tensor):
        kept = _Kept(self, tensor)
        self.held += kept.size
        self.peak = max(self.peak, self.held)
        return kept

    def counted(self):
        return torch.autograd.graph.saved_tensors_hooks(self.pack, lambda kept: kept.tensor)


class _Kept:
    def __init__(self, count, tensor):
        self.count, self.tensor = count, tensor
        self.size = tensor.numel() * tensor.element_size()

    def __del__(self):
        self.count.held -= self.size


def test_the_activations_kept_do_not_grow_with_the_batch():
    peaks = []
    for count in (2, 12):
        module, activations = network(), Activations()
        images = torch.randn(count, 4, 3, 8, 8)
        with activations.counted():
            embedded = embed_chunks(module, images.__getitem__, count)
            backward_chunks(module, images.__getitem__, embedded, torch.ones(count * 4, 6))
        peaks.append(activations.peak)
    assert peaks[0] == peaks[1] > 0
