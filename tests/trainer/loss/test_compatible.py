from __future__ import annotations

import pytest
import torch

from trainer.loss.compatible import Compatibility, Shown, TripletRule, compatible_loss, relational_loss
from trainer.loss.mining import Mining, mine

LABELS = torch.tensor([0, 0, 1, 1, 2, 2, 3])


def unit(seed):
    points = torch.randn(7, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(points, dim=1)


def loss(embeddings, targets, *, regression=0.0, mixed=0.0, relations=0.0):
    rule = TripletRule(Mining.RANDOM, 0.2, torch.Generator().manual_seed(1))
    how = Compatibility("m/1", "0" * 64, regression, mixed, relations)
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


def test_relations_are_the_mean_squared_difference_of_all_distances_between_two_faces():
    new, old = unit(1), unit(2)
    gaps = [
        float((new[i] - new[j]).square().sum() - (old[i] - old[j]).square().sum())
        for i in range(7)
        for j in range(7)
        if i != j
    ]
    naive = sum(gap**2 for gap in gaps) / len(gaps)
    assert relational_loss(new, old).item() == pytest.approx(naive)
    both = loss(new, old, regression=1.0, relations=2.0).value - loss(new, old, regression=1.0).value
    assert both.item() == pytest.approx(2 * naive)


def test_a_turned_copy_of_the_older_model_has_the_same_relations():
    old = unit(2)
    turn, _ = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64))
    assert relational_loss(old @ turn, old).item() == pytest.approx(0, abs=1e-20)


def test_the_older_models_own_embeddings_cost_no_regression():
    old = unit(2)
    assert loss(old, old, regression=1.0).value.item() == 0


@pytest.mark.parametrize(("regression", "mixed"), [(-1, 1), (1, -1), (0, 0)])
def test_weights_that_make_no_sense_are_refused(regression, mixed):
    with pytest.raises(ValueError, match="regression"):
        Compatibility("m/1", "0" * 64, regression, mixed)


@pytest.mark.parametrize("wrong", [{"relations": -1.0}, {"own": -1.0}])
def test_no_setting_may_be_below_0(wrong):
    with pytest.raises(ValueError, match="below 0"):
        Compatibility(**wrong)


@pytest.mark.parametrize("wrong", [{"uses": 0, "shown": Shown.CHANGED}, {"uses": 2}])
def test_an_answer_is_used_once_at_least_and_again_only_for_changed_crops(wrong):
    with pytest.raises(ValueError, match="uses"):
        Compatibility(**wrong)


def test_labels_are_needed_by_triplets_only():
    assert Compatibility(mixed=0.0, own=0.1).needs_labels
    assert Compatibility(mixed=0.1, own=0.0).needs_labels
    assert not Compatibility(mixed=0.0, own=0.0, relations=1.0).needs_labels
