from __future__ import annotations

import pytest
from scipy.stats import binomtest

from trainer.evaluate.proportion import wilson


@pytest.mark.parametrize(("successes", "trials"), [(0, 7), (1, 1), (5, 10), (2997, 3000), (3000, 3000)])
def test_the_interval_is_scipys_wilson_interval(successes, trials):
    want = binomtest(successes, trials).proportion_ci(method="wilson")
    ours = wilson(successes, trials)
    assert ours.value == successes / trials
    assert ours.low == pytest.approx(want.low, abs=1e-12)
    assert ours.high == pytest.approx(want.high, abs=1e-12)


def test_the_interval_holds_the_share_and_stays_between_0_and_1():
    for trials in (1, 3, 50):
        for successes in range(trials + 1):
            ours = wilson(successes, trials)
            assert 0 <= ours.low <= ours.value <= ours.high <= 1


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (3, 2), (-1, 2)])
def test_what_is_no_proportion_is_refused(successes, trials):
    with pytest.raises(ValueError, match="no proportion"):
        wilson(successes, trials)
