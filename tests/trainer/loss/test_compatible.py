from __future__ import annotations

import pytest
import torch

from trainer.loss.compatible import Compatibility, TripletRule, compatible_loss
from trainer.loss.mining import Mining, mine

LABELS = torch.tensor([0, 0, 1, 1, 2, 2, 3])


def unit(seed):
    points = torch.randn(7, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(points, dim=1)


def loss(embeddings, targets, *, regression=0.0, mixed=0.0):
    rule = TripletRule(Mining.RANDOM, 0.2, torch.Generator().manual_seed(1))
    how = Compatibility("m/1", "0" * 64, regression, mixed)
    return compatible_loss(embeddings, targets, LABELS, how=how, rule=rule)


def test_the_regression_is_the_mean_squared_distance_to_the_targets():
    new, old = unit(1), unit(2)
    naive = sum(float((new[i] - old[i]).square().sum()) for i in range(7)) / 7
    found = loss(new, old, regression=3.0)
    assert found.value.item() == pytest.approx(3 * naive)
    assert found.regression == pytest.approx(naive)


def test_mixed_triplets_have_the_new_anchor_and_the_older_positive_and_negative():
    new, old = unit(1), unit(2)
    generator = torch.Generator().manual_seed(1)
    triplets = mine(Mining.RANDOM, torch.zeros(7, 7), LABELS, margin=0.2, generator=generator).triplets
    hinges = []
    for a, p, n in zip(triplets.anchors, triplets.positives, triplets.negatives, strict=True):
        gap = (new[a] - old[p]).square().sum() - (new[a] - old[n]).square().sum()
        hinges.append(max(0.0, float(gap) + 0.2))
    active = [hinge for hinge in hinges if hinge > 0]
    assert loss(new, old, mixed=2.0).value.item() == pytest.approx(2 * sum(active) / len(active))


def test_the_older_models_own_embeddings_cost_no_regression():
    old = unit(2)
    assert loss(old, old, regression=1.0).value.item() == 0


@pytest.mark.parametrize(("regression", "mixed"), [(-1, 1), (1, -1), (0, 0)])
def test_weights_that_make_no_sense_are_refused(regression, mixed):
    with pytest.raises(ValueError, match="regression"):
        Compatibility("m/1", "0" * 64, regression, mixed)
