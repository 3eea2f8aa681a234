"""Seeds for everything that chance decides: pure functions of the recipe's seed and the place in the run."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch


class Purpose(IntEnum):
    """What a seed is for, so that no two draws share one."""

    INITIAL_WEIGHTS = 10
    MINING = 11
    NETWORK = 12
    HOLD_OUT = 13
    MIXED_MINING = 14
    CLASSIFIER = 15


def seed_for(seed: int, purpose: Purpose, *place: int) -> int:
    """A 63-bit seed for a purpose at a place in the run, such as (step, chunk)."""
    state = np.random.SeedSequence([seed, purpose, *place]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def generator_for(seed: int, purpose: Purpose, *place: int) -> torch.Generator:
    """A generator on the CPU for a purpose at a place in the run."""
    return torch.Generator().manual_seed(seed_for(seed, purpose, *place))
