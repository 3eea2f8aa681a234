from __future__ import annotations

import pytest
import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss

from trainer.loss.distance import squared_l2
from trainer.loss.mining import random
from trainer.loss.triplet import Triplets, triplet_loss


@pytest.fixture
def batch():
    embeddings = torch.nn.functional.normalize(torch.randn(24, 32), dim=1).requires_grad_()
    labels = torch.arange(24) % 6
    return embeddings, random(labels, torch.Generator().manual_seed(1)), labels


def test_the_loss_agrees_with_a_naive_loop(batch):
    embeddings, triplets, _ = batch
    points = embeddings.detach().double()
    hinges = []
    for a, p, n in zip(triplets.anchors, triplets.positives, triplets.negatives, strict=True):
        gap = (points[a] - points[p]).square().sum() - (points[a] - points[n]).square().sum()
        hinges.append(max(0.0, float(gap) + 0.2))
    active = [hinge for hinge in hinges if hinge > 0]
    ours = triplet_loss(squared_l2(embeddings, embeddings), triplets, 0.2)
    assert ours.value.item() == pytest.approx(sum(active) / len(active), abs=1e-6)
    assert (ours.active, ours.triplets) == (len(active), len(hinges))


def test_loss_and_gradient_agree_with_pytorch_metric_learning(batch):
    embeddings, triplets, labels = batch
    theirs = TripletMarginLoss(margin=0.2, distance=LpDistance(power=2, normalize_embeddings=False))
    want = theirs(embeddings, labels, (triplets.anchors, triplets.positives, triplets.negatives))
    ours = triplet_loss(squared_l2(embeddings, embeddings), triplets, 0.2).value
    assert ours.item() == pytest.approx(want.item(), abs=1e-6)
    (gradient,) = torch.autograd.grad(ours, embeddings)
    (want_gradient,) = torch.autograd.grad(want, embeddings)
    torch.testing.assert_close(gradient, want_gradient, atol=1e-6, rtol=0)


def test_no_active_triplet_gives_a_loss_of_zero_with_a_zero_gradient():
    points = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    one = torch.tensor([0])
    loss = triplet_loss(squared_l2(points, points), Triplets(one, one + 1, one + 2), 0.2)
    loss.value.backward()
    assert loss.value.item() == 0
    assert loss.active == 0
    assert points.grad.abs().max() == 0


def test_no_triplet_at_all_gives_a_loss_of_zero():
    points = torch.randn(3, 2, requires_grad=True)
    none = torch.zeros(0, dtype=torch.int64)
    loss = triplet_loss(squared_l2(points, points), Triplets(none, none, none))
    assert loss.value.item() == 0
    assert loss.active == 0


def test_collapsed_embeddings_cost_exactly_the_margin():
    points = torch.ones(4, 2)
    triplets = random(torch.tensor([0, 0, 1, 1]), torch.Generator())
    assert triplet_loss(squared_l2(points, points), triplets, 0.2).value.item() == pytest.approx(0.2)


def test_indices_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="don't agree"):
        Triplets(torch.zeros(2), torch.zeros(2), torch.zeros(3))
