"""Optimisers and the learning rate of each step."""

from __future__ import annotations

import math

import torch
from torch import nn

from trainer.recipe import Optimiser, OptimiserKind

_ADAGRAD_BEGINS_AT = 0.1
"""Sum of the squared gradients before the first step, as TensorFlow has it.

From 0 the first step would move every weight by the learning rate whatever its gradient, and 0.05 is more than fresh
weights measure.
"""


def learning_rate(step: int, steps: int, how: Optimiser) -> float:
    """The learning rate of a step, counted from 0: a linear rise, then half a cosine down to `final_share`."""
    rise = min(1.0, (step + 1) / how.warm_up) if how.warm_up else 1.0
    place = max(0, step - how.warm_up) / max(1, steps - how.warm_up - 1)
    fall = how.final_share + (1 - how.final_share) * 0.5 * (1 + math.cos(math.pi * min(1.0, place)))
    return how.learning_rate * rise * fall


def make_optimiser(network: nn.Module, how: Optimiser) -> torch.optim.Optimizer:
    """The optimiser of a recipe; biases and the scales of normalisations don't decay, having one dimension."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": how.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    match how.kind:
        case OptimiserKind.ADAGRAD:
            return torch.optim.Adagrad(groups, lr=how.learning_rate, initial_accumulator_value=_ADAGRAD_BEGINS_AT)
        case OptimiserKind.ADAMW:
            return torch.optim.AdamW(groups, lr=how.learning_rate)


def set_learning_rate(optimiser: torch.optim.Optimizer, value: float) -> None:
    """Gives all weights a learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = value
