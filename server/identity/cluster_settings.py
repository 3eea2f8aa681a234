"""When unknown faces are one person, and how much is kept of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from server.domain import OperatingPoint
from server.identity.match import threshold_for

DAY_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Distances are squared L2; they belong to one embedder, so `at` derives them from its operating points.

    Attributes:
        join: mean distance up to which faces are one group (average linkage).
        promote: distance up to which a good second face makes a candidate a known group; at most `join`.
        min_quality: a face below it is not placed at all, 0..1.
        good_quality: a face below it may join, but it neither promotes nor stands for a group, 0..1.
        templates: most faces that stand for one group in searches.
        neighbours: templates that a new face is compared with.
        local_faces: most faces that are clustered anew at a time; larger groups are taken whole.
        candidate_age_ns: a candidate that saw no face for so long expires.
        known_age_ns: a known group that saw no face for so long expires.
    """

    join: float
    promote: float
    min_quality: float = 0.05
    good_quality: float = 0.2
    templates: int = 8
    neighbours: int = 24
    local_faces: int = 192
    candidate_age_ns: int = 1 * DAY_NS
    known_age_ns: int = 30 * DAY_NS

    def __post_init__(self) -> None:
        if not 0 < self.promote <= self.join:
            raise ValueError(f"promote is {self.promote}, join {self.join}; promoting must be at least as strict")

    @staticmethod
    def at(points: Sequence[OperatingPoint], *, join_far: float = 1e-4, promote_far: float = 1e-5) -> ClusterSettings:
        """Settings for an embedder, at false accept rates of single comparisons.

        Raises:
            ValueError: without operating points.
        """
        return ClusterSettings(join=threshold_for(points, join_far, 1), promote=threshold_for(points, promote_far, 1))
