from __future__ import annotations

import numpy as np
import torch

from trainer.models.inception import Inception, InceptionRow, Pooling
from trainer.models.layers import L2Normalise, L2Pool, LocalResponseNorm, Maxout, Normalisation


def test_l2_pooling_is_the_root_mean_square_of_each_neighbourhood():
    images = torch.randn(1, 2, 5, 4)
    pooled = L2Pool()(images).numpy()
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
    for channel in range(2):
        for y in range(5):
            for x in range(4):
                window = padded[0, channel, y : y + 3, x : x + 3]
                want = np.sqrt((window**2).mean())
                assert abs(pooled[0, channel, y, x] - want) < 1e-3


def test_l2_pooling_has_a_finite_gradient_where_all_is_zero():
    images = torch.zeros(1, 1, 4, 4, requires_grad=True)
    L2Pool()(images).sum().backward()
    assert torch.equal(images.grad, torch.zeros_like(images))


def test_l2_pooling_survives_half_precision_with_large_activations():
    pooled = L2Pool()(torch.full((1, 1, 3, 3), 1000.0, dtype=torch.float16))
    assert pooled.dtype == torch.float16
    assert pooled[0, 0, 1, 1] == 1000.0


def test_local_response_normalisation_is_torchs():
    images = 40 * torch.randn(2, 7, 3, 4)
    want = torch.nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)(images)
    torch.testing.assert_close(LocalResponseNorm()(images), want)


def test_maxout_answers_the_greater_piece():
    layer = Maxout(3, 2)
    features = torch.randn(4, 3)
    pieces = layer.linear(features)
    want = torch.stack([pieces[:, 0:2].amax(1), pieces[:, 2:4].amax(1)], dim=1)
    assert torch.equal(layer(features), want)


def test_normalising_a_zero_vector_answers_zero_and_not_nan():
    assert torch.equal(L2Normalise()(torch.zeros(1, 4)), torch.zeros(1, 4))


def test_an_inception_block_concatenates_its_branches_in_the_tables_order():
    row = InceptionRow("x", 2, 3, 4, 5, 6, Pooling.MAX, 7)
    block = Inception(8, row, Normalisation.BATCH).eval()
    images = torch.randn(1, 8, 5, 5)
    answer = block(images)
    assert answer.shape == (1, 2 + 4 + 6 + 7, 5, 5)
    assert row.outputs(8) == 19
    parts = [branch(images) for branch in block.branches]
    assert [part.shape[1] for part in parts] == [2, 4, 6, 7]
    assert torch.equal(answer, torch.cat(parts, 1))


def test_an_inception_block_of_stride_two_passes_its_pooled_input_through():
    row = InceptionRow("x", 0, 3, 4, 0, 0, Pooling.MAX, 0, stride=2)
    images = torch.randn(1, 8, 7, 6)
    answer = Inception(8, row, Normalisation.BATCH).eval()(images)
    assert answer.shape == (1, row.outputs(8), 4, 3)
    want = torch.nn.functional.max_pool2d(images, 3, 2, 1)
    assert torch.equal(answer[:, 4:], want)
