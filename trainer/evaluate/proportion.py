"""Shares with their confidence intervals."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist


@dataclass(frozen=True, slots=True)
class Proportion:
    """A measured share.

    Attributes:
        value: successes over trials, 0..1.
        low: lower end of the 95 % confidence interval.
        high: its upper end.
        trials: how many were measured.
    """

    value: float
    low: float
    high: float
    trials: int

    def __str__(self) -> str:
        return f"{self.value:.2%} [{self.low:.2%}, {self.high:.2%}]"


def wilson(successes: int, trials: int, confidence: float = 0.95) -> Proportion:
    """The share of successes with Wilson's score interval (Wilson 1927), which holds near 0 and 1 too.

    It takes the trials to be independent. Pairs that share a photograph or a person are not quite, so that the truth is
    somewhat wider; the spread over folds shows by how much.

    Raises:
        ValueError: when there are no trials, or fewer than successes.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials is no proportion")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / trials
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    # rounding must not push an end past the share itself
    return Proportion(share, max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share)), trials)
