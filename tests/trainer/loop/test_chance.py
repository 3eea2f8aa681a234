from __future__ import annotations

import itertools

import torch

from trainer.loop.chance import Purpose, generator_for, seed_for


def test_every_seed_purpose_and_place_has_its_own_seed():
    seeds = [
        seed_for(seed, purpose, step, chunk)
        for seed, purpose, step, chunk in itertools.product(range(3), Purpose, range(5), range(3))
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_same_place_has_the_same_seed():
    first, second = (torch.rand(3, generator=generator_for(1, Purpose.MINING, 7)) for _ in range(2))
    assert torch.equal(first, second)
