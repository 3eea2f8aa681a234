from __future__ import annotations

import torch

from trainer.models.build import build
from trainer.models.small_resnet import GRID, BasicBlock


def test_a_block_that_shrinks_the_grid_rounds_up_as_its_skip_does():
    block = BasicBlock(8, 16, 2).eval()
    assert block(torch.zeros(1, 8, 7, 5)).shape == (1, 16, 4, 3)


def test_a_block_without_deep_convolutions_passes_its_input_through():
    block = BasicBlock(8, 8, 1).eval()
    with torch.no_grad():
        block.second[0].weight.zero_()
        images = torch.randn(2, 8, 5, 5)
        assert torch.equal(block(images), images.relu())


def test_the_last_grid_is_as_large_as_the_filters_that_weigh_it():
    network = build("resnet-s").eval()
    grid = {}
    network.weigh.register_forward_pre_hook(lambda layer, inputs: grid.update(shape=inputs[0].shape))
    with torch.no_grad():
        embedding = network(torch.zeros(1, 3, 112, 112))
    assert grid["shape"] == (1, 256, GRID, GRID)
    assert embedding.shape == (1, 128)
