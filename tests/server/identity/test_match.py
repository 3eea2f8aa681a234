from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain import Match, OperatingPoint, Unknown, UnknownReason
from server.identity.match import Candidate, decide, threshold_for

POINTS = (OperatingPoint(1e-2, 1.45, 0.99), OperatingPoint(1e-3, 1.28, 0.98), OperatingPoint(1e-4, 1.1, 0.95))

fars = st.floats(1e-9, 0.5)
sizes = st.integers(0, 10**7)
point_lists = st.lists(
    st.builds(OperatingPoint, st.floats(1e-8, 0.9), st.floats(0.0, 4.0), st.just(0.9)), min_size=1, max_size=6
)


def candidate(distance: float, name: str = "a") -> Candidate:
    return Candidate(f"tenants/t/galleries/g/identities/{name}", name, distance, "1")


@pytest.mark.parametrize("point", POINTS)
def test_one_comparison_at_a_measured_rate_gets_the_measured_distance(point: OperatingPoint) -> None:
    assert threshold_for(POINTS, point.far, 1) == pytest.approx(point.distance)


def test_between_two_points_the_distance_is_linear_over_the_logarithm_of_the_rate() -> None:
    assert threshold_for(POINTS, math.sqrt(1e-2 * 1e-3), 1) == pytest.approx((1.45 + 1.28) / 2)


def test_comparisons_share_the_rate_so_that_all_of_them_together_reach_it() -> None:
    far, comparisons = 1e-2, 37
    each = threshold_for(POINTS, 1 - (1 - far) ** (1 / comparisons), 1)
    assert threshold_for(POINTS, far, comparisons) == pytest.approx(each)


def test_below_the_smallest_rate_the_last_slope_goes_on() -> None:
    assert threshold_for(POINTS, 1e-5, 1) == pytest.approx(1.1 - (1.28 - 1.1))


def test_above_the_largest_rate_its_distance_is_kept() -> None:
    assert threshold_for(POINTS, 0.4, 1) == 1.45


def test_a_single_point_is_tightened_along_the_chord_to_accepting_everything() -> None:
    assert threshold_for(POINTS[:1], 1e-2, 1) == 1.45
    assert threshold_for(POINTS[:1], 1e-3, 1) == pytest.approx(1.45 - (4 - 1.45) / 2)


def test_noise_that_makes_a_smaller_rate_look_farther_counts_at_the_smaller_distance() -> None:
    noisy = (OperatingPoint(1e-2, 1.2, 0.9), OperatingPoint(1e-3, 1.3, 0.9))
    assert threshold_for(noisy, 1e-3, 1) == 1.2
    assert threshold_for(noisy, 1e-6, 1) == 1.2


def test_an_empty_gallery_counts_as_one_comparison() -> None:
    assert threshold_for(POINTS, 1e-3, 0) == threshold_for(POINTS, 1e-3, 1)


@given(point_lists, fars, fars, sizes)
def test_a_larger_rate_never_gives_a_smaller_threshold(
    points: list[OperatingPoint], one: float, other: float, size: int
) -> None:
    low, high = sorted((one, other))
    assert threshold_for(points, low, size) <= threshold_for(points, high, size) + 1e-12


@given(point_lists, fars, sizes, sizes)
def test_a_larger_gallery_never_gives_a_larger_threshold(
    points: list[OperatingPoint], far: float, one: int, other: int
) -> None:
    small, large = sorted((one, other))
    assert threshold_for(points, far, large) <= threshold_for(points, far, small) + 1e-12


@given(point_lists, fars, sizes)
def test_no_threshold_exceeds_the_farthest_measured_distance_or_falls_below_zero(
    points: list[OperatingPoint], far: float, size: int
) -> None:
    assert 0 <= threshold_for(points, far, size) <= max(point.distance for point in points) + 1e-12


@pytest.mark.parametrize("far", [0.0, 1.0, -0.1, math.nan])
def test_a_rate_outside_zero_and_one_is_refused(far: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        threshold_for(POINTS, far, 1)


def test_no_points_are_refused() -> None:
    with pytest.raises(ValueError, match="operating point"):
        threshold_for((), 1e-3, 1)


def test_nobody_enrolled_is_an_unknown_without_a_distance() -> None:
    assert decide((), threshold=1.0, min_margin=0.1) == Unknown(UnknownReason.GALLERY_EMPTY, None, 1.0)


def test_the_only_person_within_reach_is_a_match_without_a_margin() -> None:
    only = candidate(0.5)
    assert decide([only], threshold=1.0, min_margin=0.1) == Match(only.identity, "a", 0.5, 1.0, None)


def test_a_distance_equal_to_the_threshold_is_a_match() -> None:
    assert isinstance(decide([candidate(1.0)], threshold=1.0, min_margin=0.1), Match)


def test_the_nearest_name_is_not_given_to_somebody_who_is_too_far() -> None:
    answer = decide([candidate(1.01), candidate(1.9, "b")], threshold=1.0, min_margin=0.1)
    assert answer == Unknown(UnknownReason.TOO_FAR, 1.01, 1.0)


def test_two_people_within_reach_and_too_near_each_other_are_ambiguous() -> None:
    answer = decide([candidate(0.50), candidate(0.55, "b")], threshold=1.0, min_margin=0.1)
    assert answer == Unknown(UnknownReason.AMBIGUOUS, 0.50, 1.0)


def test_a_second_person_out_of_reach_does_not_make_it_ambiguous() -> None:
    answer = decide([candidate(0.95), candidate(1.01, "b")], threshold=1.0, min_margin=0.1)
    assert isinstance(answer, Match)
    assert answer.margin == pytest.approx(0.06)


def test_a_margin_of_exactly_what_is_wanted_is_enough() -> None:
    assert isinstance(decide([candidate(0.25), candidate(0.5, "b")], threshold=1.0, min_margin=0.25), Match)


def test_candidates_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="nearest first"):
        decide([candidate(0.6), candidate(0.5, "b")], threshold=1.0, min_margin=0.1)


@given(st.lists(st.floats(0, 4), max_size=4), st.floats(0, 4), st.floats(0, 1))
def test_whoever_is_named_is_the_nearest_and_within_the_threshold(
    distances: list[float], threshold: float, margin: float
) -> None:
    ranked = [candidate(d, f"p{i}") for i, d in enumerate(sorted(distances))]
    answer = decide(ranked, threshold=threshold, min_margin=margin)
    if isinstance(answer, Match):
        assert answer.display_name == "p0"
        assert answer.distance <= threshold
        second = next((far.distance for _, far in pairwise(ranked)), None)
        assert second is None or second > threshold or second - answer.distance >= margin
