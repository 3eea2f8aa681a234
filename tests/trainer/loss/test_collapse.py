from __future__ import annotations

import pytest
import torch

from trainer.errors import CollapseError
from trainer.loss.collapse import CollapseAlarm, CollapseRule, spread
from trainer.loss.distance import squared_l2
from trainer.loss.mining import Mining, mine
from trainer.loss.triplet import triplet_loss


def alarm(mining=Mining.SEMI_HARD):
    return CollapseAlarm(CollapseRule(patience=3), mining, margin=0.2)


def observe(watch, **step):
    for _ in range(watch.rule.patience):
        watch.observe(**step)


@pytest.mark.parametrize(
    "wrong", [{"collapsed_spread": -0.1}, {"narrow_spread": float("nan")}, {"stuck": -1.0}, {"patience": 0}]
)
def test_a_rule_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CollapseRule(**wrong)


def test_the_spread_is_the_mean_squared_distance_to_the_centre():
    points = torch.nn.functional.normalize(torch.randn(50, 8), dim=1)
    naive = (points - points.mean(0)).square().sum(1).mean()
    assert spread(points) == pytest.approx(float(naive), abs=1e-6)


def test_the_spread_of_one_point_is_zero_and_of_opposite_points_one():
    point = torch.tensor([[0.6, 0.8]])
    assert spread(point.expand(5, 2)) == pytest.approx(0, abs=1e-6)
    assert spread(torch.cat([point, -point])) == pytest.approx(1)


def test_three_collapsed_steps_in_a_row_raise_with_the_figures_and_advice():
    watch = alarm()
    watch.observe(loss=0.2, spread=0.001)
    watch.observe(loss=0.2, spread=0.001)
    with pytest.raises(CollapseError, match=r"3 steps.*0\.2000.*0\.0010.*lower the learning rate"):
        watch.observe(loss=0.2, spread=0.001)


def test_a_healthy_step_starts_the_count_again():
    watch = alarm()
    for _ in range(5):
        watch.observe(loss=0.2, spread=0.001)
        watch.observe(loss=0.2, spread=0.001)
        watch.observe(loss=0.11, spread=0.7)


def test_a_loss_at_the_margin_with_embeddings_well_spread_is_no_collapse():
    """The nearest semi-hard negatives always cost about the margin."""
    watch = alarm()
    for _ in range(10):
        watch.observe(loss=0.2, spread=0.9)


def test_a_loss_stuck_at_the_margin_raises_before_the_spread_is_gone():
    with pytest.raises(CollapseError):
        observe(alarm(), loss=0.2, spread=0.05)


def test_embeddings_at_one_point_raise_whatever_the_loss():
    with pytest.raises(CollapseError):
        observe(alarm(), loss=0.0, spread=1e-9)


def test_those_who_mine_the_hardest_are_advised_not_to():
    with pytest.raises(CollapseError, match="mine semi-hard"):
        observe(alarm(Mining.HARDEST), loss=0.2, spread=0.0)


def test_a_network_that_answers_one_point_sets_off_the_alarm_through_the_real_loss():
    points = torch.nn.functional.normalize(torch.ones(20, 8) + 1e-3 * torch.randn(20, 8), dim=1)
    labels = torch.arange(20) // 4
    distances = squared_l2(points, points)
    drawn = torch.Generator().manual_seed(1)
    triplets = mine(Mining.SEMI_HARD, distances, labels, margin=0.2, generator=drawn).triplets
    value = triplet_loss(distances, triplets, 0.2).value.item()
    with pytest.raises(CollapseError):
        observe(alarm(), loss=value, spread=spread(points))
