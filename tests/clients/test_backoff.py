from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from clients.backoff import Backoff


@given(st.integers(), st.integers(1, 40))
def test_every_wait_is_between_the_shortest_and_the_longest(seed: int, attempts: int) -> None:
    backoff = Backoff(0.5, 30.0, random.Random(seed))
    assert all(0.5 <= backoff.next_s() <= 30.0 for _ in range(attempts))


def test_waits_double_on_average_and_start_over_after_a_success() -> None:
    backoffs = [Backoff(1.0, 1000.0, random.Random(seed)) for seed in range(400)]
    for attempt in range(5):
        mean = sum(backoff.next_s() for backoff in backoffs) / len(backoffs)
        # At the shortest wait the jitter only lengthens.
        expected = 2.0**attempt if attempt else 1 + 0.25 / 4
        assert abs(mean - expected) < 0.05 * expected
    backoffs[0].reset()
    assert backoffs[0].next_s() <= 1.25


def test_two_cameras_do_not_wait_alike() -> None:
    first, second = Backoff(rng=random.Random(1)), Backoff(rng=random.Random(2))
    assert [first.next_s() for _ in range(5)] != [second.next_s() for _ in range(5)]


def test_a_thousand_attempts_do_not_overflow() -> None:
    backoff = Backoff()
    assert [backoff.next_s() for _ in range(2000)][-1] <= 30
