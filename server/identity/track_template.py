"""A track's template: the quality-weighted mean of its best looks. Pure.

Averaging over a track is how the FaceNet paper judges videos (Schroff et al. 2015, section 5.7): what is chance in one
frame cancels out, what is the person stays.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from server.domain import Embedding, Look

_LEAST_WEIGHT = 0.05
"""A look of quality 0 still counts a little, or a track that has no better one would have no template."""

_NOTHING = 1e-6
"""Looks whose mean is shorter cancel out, so they are of several people; the best one is at least somebody."""


@dataclass(frozen=True, slots=True, eq=False)
class TrackTemplate:
    """The best looks at one face.

    Attributes:
        looks: the best first; at least one.
        embedding: (D,) float32 of norm 1: the mean of the looks, each weighted by its quality.
        coherence: how much the looks agree, in (0, 1]: the norm of their mean before it was made 1; a single look's
            is 1.
    """

    looks: tuple[Look, ...]
    embedding: Embedding = field(init=False)
    coherence: float = field(init=False)

    def __post_init__(self) -> None:
        weights = np.asarray([max(_LEAST_WEIGHT, look.quality) for look in self.looks], np.float32)
        mean = (weights / weights.sum()) @ np.stack([look.embedding for look in self.looks])
        norm = float(np.linalg.norm(mean))
        cancelled = norm < _NOTHING
        object.__setattr__(self, "embedding", self.looks[0].embedding if cancelled else mean / norm)
        object.__setattr__(self, "coherence", 1.0 if cancelled else min(1.0, norm))

    def with_look(self, look: Look, *, at_most: int) -> TrackTemplate:
        """With a new look, and without the worst when there are more than `at_most`; itself when that is the new one.

        Of two looks of equal quality the newer is kept, since faces change with the light around them.
        """
        ordered = sorted((*self.looks, look), key=lambda each: (-each.quality, -each.at_ns))[:at_most]
        after = TrackTemplate(tuple(ordered))
        return after if after.holds(look) else self

    def holds(self, look: Look) -> bool:
        """Whether it is made of this very look, among others."""
        return any(each is look for each in self.looks)

    def distance(self, embedding: Embedding) -> float:
        """Squared L2 from the template to an embedding of norm 1."""
        return max(0.0, 2.0 - 2.0 * float(self.embedding @ embedding))
