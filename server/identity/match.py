"""Who a face is: distances to the nearest people become a match or an unknown.

Pure. Distances are squared L2 between L2-normalised embeddings, smaller is nearer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from server.domain import Match, OperatingPoint, Unknown, UnknownReason

_EVERYTHING = (0.0, 4.0)
"""log(FAR) and distance at which every comparison is accepted: no two unit vectors are farther apart."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An enrolled person and how near the person's nearest template is.

    Attributes:
        identity: resource name.
        display_name: the person's name.
        distance: squared L2 to the person's nearest template; as of one look where that is a mean of several.
        template_id: that template.
    """

    identity: str
    display_name: str
    distance: float
    template_id: str


def threshold_for(points: Sequence[OperatingPoint], far: float, comparisons: int) -> float:
    """The distance at which one face, compared with `comparisons` strangers, is accepted with probability `far`.

    With independent comparisons each may err at a rate of 1 - (1 - far)^(1 / comparisons). Between measured points
    the distance is interpolated linearly over log(FAR). Below the smallest measured FAR the slope of the last two
    points goes on: tails of distance distributions are flatter than that, so the threshold errs to the strict side.
    A single point has no slope; the chord to FAR 1 at distance 4 stands in for it, which is stricter still. Above
    the largest measured FAR that point's distance is kept.

    Args:
        points: measured operating points in any order, at least one. Where a smaller FAR was measured at a larger
            distance (noise), the smaller distance counts for both.
        far: wanted false accept rate of one face against everybody, in (0, 1).
        comparisons: how many templates of others the face is compared with; 0 counts as 1.

    Returns:
        Squared L2, at least 0; never grows with `comparisons`, never shrinks with `far`.

    Raises:
        ValueError: without points, or with a `far` outside (0, 1).
    """
    if not points:
        raise ValueError("a threshold needs at least one operating point; fit the model's thresholds first")
    if not 0 < far < 1:
        raise ValueError(f"far is {far}; it must lie between 0 and 1, both excluded")
    log_far = math.log(-math.expm1(math.log1p(-far) / max(comparisons, 1)))
    curve = _monotone(points)
    if log_far >= curve[-1][0]:
        return curve[-1][1]
    low, high = next((pair for pair in pairwise(curve) if log_far < pair[1][0]), (curve[0], _EVERYTHING))
    slope = (high[1] - low[1]) / (high[0] - low[0])
    return max(0.0, low[1] + slope * (log_far - low[0]))


def _monotone(points: Sequence[OperatingPoint]) -> list[tuple[float, float]]:
    """(log FAR, distance), FAR ascending, one per FAR, distances never falling."""
    curve: list[tuple[float, float]] = []
    nearest = math.inf
    for point in sorted(points, key=lambda p: (-p.far, p.distance)):
        nearest = min(nearest, point.distance)
        log_far = math.log(point.far)
        if curve and curve[-1][0] == log_far:
            continue
        curve.append((log_far, nearest))
    return curve[::-1]


def decide(candidates: Sequence[Candidate], *, threshold: float, min_margin: float) -> Match | Unknown:
    """A match when the nearest person is within the threshold and clearly nearer than the second.

    Args:
        candidates: one per person, nearest first; the two nearest suffice.
        threshold: squared L2 that the nearest person must not exceed.
        min_margin: squared L2 by which the second must be farther, when the second is within the threshold too.

    Raises:
        ValueError: when the candidates are out of order.
    """
    if not candidates:
        return Unknown(UnknownReason.GALLERY_EMPTY, None, threshold)
    if any(near.distance > far.distance for near, far in pairwise(candidates)):
        raise ValueError("candidates must come nearest first")
    first = candidates[0]
    if first.distance > threshold:
        return Unknown(UnknownReason.TOO_FAR, first.distance, threshold)
    margin = candidates[1].distance - first.distance if len(candidates) > 1 else None
    if margin is not None and margin < min_margin and candidates[1].distance <= threshold:
        return Unknown(UnknownReason.AMBIGUOUS, first.distance, threshold)
    return Match(first.identity, first.display_name, first.distance, threshold, margin)
