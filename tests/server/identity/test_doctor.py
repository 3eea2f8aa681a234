import numpy as np
import pytest

from server.identity.doctor import CheckRule, Checkup, Finding, Trouble, check
from server.identity.index import BruteForceIndex

RULE = CheckRule(duplicate=0.2, threshold=0.8, target_far=0.01)


def at(*degrees: float) -> np.ndarray:
    """Unit vectors on a circle: two of them are 2 - 2 cos(angle between) apart."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def gallery(people: dict[int, list[float]]) -> BruteForceIndex:
    """People by key with the angles of their templates; template keys count from 1."""
    owners = [person for person, angles in people.items() for _ in angles]
    vectors = at(*[angle for angles in people.values() for angle in angles])
    return BruteForceIndex.empty(2).added(np.arange(1, len(owners) + 1), np.array(owners, np.int64), vectors)


def troubles(checkup: Checkup) -> list[tuple[Trouble, int, int]]:
    return [(finding.trouble, finding.owner, finding.other) for finding in checkup.findings]


def test_means_of_looks_are_as_far_as_searches_count_them():
    index = gallery({7: [0, 10], 8: [45, 55]})

    (photographs,) = check(index, {}, {}, RULE).findings
    means = check(index, {}, dict.fromkeys(range(1, 5), 0.3), RULE)

    assert photographs.trouble is Trouble.CONFUSABLE
    assert photographs.distance == pytest.approx(2 - 2 * np.cos(np.radians(35)), abs=1e-5)
    assert means.findings == ()


def test_a_gallery_of_people_who_are_far_apart_is_healthy():
    checkup = check(gallery({7: [0, 5], 8: [90, 95], 9: [180]}), {}, {}, RULE)

    assert checkup.findings == ()
    assert checkup.templates == checkup.checked == 5
    assert checkup.advised_threshold == checkup.threshold
    assert checkup.kept_share == 1.0


def test_two_people_who_are_nearly_the_same_are_one_finding():
    (finding,) = check(gallery({7: [0], 8: [10]}), {}, {}, RULE).findings

    assert finding.trouble is Trouble.DUPLICATE
    assert {finding.owner, finding.other} == {7, 8}
    assert finding.distance == pytest.approx(2 - 2 * np.cos(np.radians(10)), abs=1e-6)
    assert finding.own_distance is None


def test_two_people_within_the_threshold_are_confusable_and_the_nearest_templates_say_so():
    checkup = check(gallery({7: [0, 8], 8: [48, 56]}), {}, {}, RULE)

    assert [(f.trouble, {f.template, f.other_template}) for f in checkup.findings] == [(Trouble.CONFUSABLE, {2, 3})]


def test_a_template_that_is_nearer_to_somebody_else_is_misplaced():
    checkup = check(gallery({7: [0, 5, 100], 8: [170, 175]}), {}, {}, RULE)

    assert troubles(checkup) == [(Trouble.MISPLACED, 7, 8)]
    assert checkup.findings[0].template == 3
    assert checkup.findings[0].own_distance > checkup.findings[0].distance


def test_a_single_template_is_never_misplaced():
    assert check(gallery({7: [0], 8: [60, 65]}), {}, {}, RULE).findings == ()


def test_a_poor_template_is_weak():
    (finding,) = check(gallery({7: [0, 5]}), {1: 0.9, 2: 0.1}, {}, RULE).findings

    assert finding == Finding(Trouble.WEAK, 7, 2, 0.1, own_distance=finding.own_distance)


def test_the_worst_come_first():
    people = {1: [0], 2: [10], 3: [100], 4: [140], 5: [200], 6: [215]}

    found = check(gallery(people), {6: 0.1}, {}, RULE)

    assert [finding.trouble for finding in found.findings] == [
        Trouble.DUPLICATE,
        Trouble.DUPLICATE,
        Trouble.CONFUSABLE,
        Trouble.WEAK,
    ]
    assert found.findings[0].distance < found.findings[1].distance


def test_removed_templates_don_t_count():
    index = gallery({7: [0], 8: [10]}).removed(np.array([2]))

    assert check(index, {}, {}, RULE).findings == ()


def test_a_person_with_many_templates_does_not_hide_the_neighbour():
    checkup = check(gallery({7: list(np.linspace(0, 5, 60)), 8: [40]}), {}, {}, RULE)

    assert {(f.owner, f.other) for f in checkup.findings if f.trouble is Trouble.CONFUSABLE} <= {(7, 8), (8, 7)}
    assert any(f.trouble is Trouble.CONFUSABLE for f in checkup.findings)


def test_of_a_large_gallery_a_sample_is_looked_at():
    rule = CheckRule(duplicate=0.2, threshold=0.8, target_far=0.01, most_checked=10)

    checkup = check(gallery({person: [person] for person in range(1, 41)}), {}, {}, rule)

    assert checkup.templates == 40
    assert checkup.checked == 10


def test_where_people_are_too_alike_a_stricter_threshold_is_advised():
    vectors = np.random.default_rng(0).normal(size=(400, 6))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    keys = np.arange(1, 401)
    index = BruteForceIndex.empty(6).added(keys, keys, vectors)
    distances = 2 - 2 * vectors @ vectors.T
    np.fill_diagonal(distances, np.inf)
    nearest = distances.min(axis=1)
    rule = CheckRule(duplicate=0.0, threshold=float(np.quantile(nearest, 0.5)), target_far=0.05)

    checkup = check(index, {}, {}, rule)

    assert checkup.observed_far == pytest.approx(0.5, abs=0.01)
    assert np.mean(nearest <= checkup.advised_threshold) <= rule.target_far
    assert np.mean(nearest <= checkup.advised_threshold + 0.02) > rule.target_far - 0.02


def test_finds_exactly_the_pairs_that_comparing_all_with_all_finds():
    random = np.random.default_rng(3)
    vectors = random.normal(size=(120, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    owners = random.integers(1, 31, 120)
    index = BruteForceIndex.empty(8).added(np.arange(1, 121), owners, vectors)
    distances = 2 - 2 * vectors.astype(np.float64) @ vectors.T
    nearest_other = {
        (min(owners[i], owners[j]), max(owners[i], owners[j]))
        for i in range(120)
        for j in [int(np.argmin(np.where(owners == owners[i], np.inf, distances[i])))]
        if distances[i, j] <= RULE.threshold
    }

    found = check(index, {}, {}, RULE)

    pairs = {
        (min(f.owner, f.other), max(f.owner, f.other)) for f in found.findings if f.trouble is not Trouble.MISPLACED
    }
    assert pairs == nearest_other


def test_an_empty_gallery_is_healthy():
    assert check(BruteForceIndex.empty(2), {}, {}, RULE).findings == ()


def test_a_template_that_is_nearer_to_the_same_person_enrolled_twice_is_not_misplaced():
    assert troubles(check(gallery({7: [0, 40], 8: [5]}), {}, {}, RULE))[0][0] is Trouble.DUPLICATE
    assert len(check(gallery({7: [0, 40], 8: [5]}), {}, {}, RULE).findings) == 1
