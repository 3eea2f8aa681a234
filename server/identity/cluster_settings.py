"""When unknown faces are one person, and how much is kept of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from server.domain import OperatingPoint
from server.identity.linkage import Leeway
from server.identity.match import threshold_for


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Thresholds follow from the embedder's operating points and from how many groups a face is compared with.

    The defaults were chosen on one half of LFW's and of celeba247's people; `make bench-clusters` reports on the other.

    Attributes:
        points: measured thresholds of the embedder, at least one.
        join_far: false accept rate of one new face against all groups, in (0, 1).
        most_far: and of one comparison, however few groups there are, in (0, 1).
        promote_far: like `join_far`, for the second good face of a candidate; at most `join_far`.
        allowance: how much farther a single face may be from a large group than from a single face, as a share of the
            threshold.
        caution: how much nearer two small groups must be than two single faces, as a share of the threshold.
        min_quality: a face below it is not placed at all, 0..1.
        good_quality: a face below it may join, but it neither promotes nor stands for a group, 0..1.
        corroborating_looks: so many looks at one track that agree make a group known, at least 2.
        corroborating_ns: so long must be between the first of them and the last, at least 0.
        templates: most faces that stand for one group in searches.
        neighbours: templates that a new face is compared with.
        local_faces: most faces that are clustered anew at a time; larger groups are taken whole.
    """

    points: tuple[OperatingPoint, ...]
    join_far: float = 0.04
    most_far: float = 3e-4
    promote_far: float = 0.004
    allowance: float = 0.08
    caution: float = 0.25
    min_quality: float = 0.05
    good_quality: float = 0.2
    corroborating_looks: int = 3
    corroborating_ns: int = 1_000_000_000
    templates: int = 8
    neighbours: int = 12
    local_faces: int = 192

    def __post_init__(self) -> None:
        if not 0 < self.promote_far <= self.join_far:
            raise ValueError(f"promote_far is {self.promote_far}; it must be above 0 and at most {self.join_far}")
        self.join(1)

    def join(self, groups: int) -> float:
        """The squared L2 up to which two single faces are one group, when there are so many groups."""
        return min(_threshold(self.points, self.join_far, _about(groups)), _threshold(self.points, self.most_far, 1))

    @property
    def leeway(self) -> Leeway:
        """The allowance and the caution as squared L2."""
        return Leeway(self.allowance * self.join(1), self.caution * self.join(1))

    def promote(self, groups: int) -> float:
        """The squared L2 up to which a second good face makes a candidate known; at most `join`."""
        return min(_threshold(self.points, self.promote_far, _about(groups)), self.join(groups))


def _about(count: int) -> int:
    """The number with two digits, rounded up: 1 % more groups are nothing to a threshold, and it is kept for them."""
    unit = int(10 ** max(0, len(str(count)) - 2))
    return -(-count // unit) * unit


_threshold = lru_cache(maxsize=1024)(threshold_for)
