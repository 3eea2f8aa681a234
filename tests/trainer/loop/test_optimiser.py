from __future__ import annotations

import math

import pytest
import torch

from trainer.loop.optimiser import learning_rate, make_optimiser, set_learning_rate
from trainer.models.build import build
from trainer.recipe import Optimiser, OptimiserKind


def test_the_learning_rate_rises_then_falls_along_half_a_cosine():
    how = Optimiser(learning_rate=0.2, warm_up=4, final_share=0.1)
    rates = [learning_rate(step, 20, how) for step in range(20)]
    assert rates[:4] == pytest.approx([0.05, 0.1, 0.15, 0.2])
    assert rates[4] == pytest.approx(0.2)
    assert rates[19] == pytest.approx(0.02)
    for step in range(4, 20):
        share = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (step - 4) / 15))
        assert rates[step] == pytest.approx(0.2 * share)


def test_a_final_share_of_one_keeps_the_learning_rate():
    how = Optimiser(learning_rate=0.2, final_share=1)
    assert {learning_rate(step, 7, how) for step in range(7)} == {0.2}


def test_a_run_of_one_step_has_the_full_learning_rate():
    assert learning_rate(0, 1, Optimiser(learning_rate=0.2)) == 0.2


@pytest.mark.parametrize(
    ("kind", "wanted"), [(OptimiserKind.ADAGRAD, torch.optim.Adagrad), (OptimiserKind.ADAMW, torch.optim.AdamW)]
)
def test_every_weight_is_moved_once_and_only_matrices_decay(kind, wanted):
    network = build("nns2", dimension=64)
    optimiser = make_optimiser(network, Optimiser(kind, 0.1, weight_decay=0.3))
    assert isinstance(optimiser, wanted)
    decaying, others = optimiser.param_groups
    assert {p.dim() for p in others["params"]} == {1}
    assert min(p.dim() for p in decaying["params"]) == 2
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.3, 0)
    moved = {id(p) for group in optimiser.param_groups for p in group["params"]}
    assert moved == {id(p) for p in network.parameters()}


def test_adagrad_steps_as_its_definition_says():
    """Duchi et al. 2011: the step is the gradient over the root of the sum of its squares, and of 0.1 to begin with."""
    weight = torch.nn.Linear(1, 1, bias=False)
    start = weight.weight.item()
    optimiser = make_optimiser(weight, Optimiser(OptimiserKind.ADAGRAD, 0.05))
    squares = 0.1
    for gradient in (3.0, -1.0):
        weight.weight.grad = torch.tensor([[gradient]])
        optimiser.step()
        squares += gradient**2
        start -= 0.05 * gradient / math.sqrt(squares)
    assert weight.weight.item() == pytest.approx(start, abs=1e-6)


def test_setting_the_learning_rate_sets_it_for_all_weights():
    optimiser = make_optimiser(build("nns2", dimension=64), Optimiser())
    set_learning_rate(optimiser, 0.125)
    assert [group["lr"] for group in optimiser.param_groups] == [0.125, 0.125]
