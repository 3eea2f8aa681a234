"""A track's template: the quality-weighted mean of its best looks. Pure.

Averaging over a track is how the FaceNet paper judges videos (Schroff et al. 2015, section 5.7): what is chance in one
frame cancels out, what is the person stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from server.domain import Embedding, Look

_LEAST_WEIGHT = 0.05
"""A look of quality 0 still counts a little, or a track that has no better one would have no template."""

_NOTHING = 1e-6
"""Looks whose mean is shorter cancel out, so they are of several people; the best one is at least somebody."""


@dataclass(frozen=True, slots=True)
class TrackTemplate:
    """The best looks at one face, the best first; at least one."""

    looks: tuple[Look, ...]

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

    @property
    def embedding(self) -> Embedding:
        """(D,) float32 of norm 1: the mean of the looks, each weighted by its quality."""
        mean, norm = self._mean()
        return self.looks[0].embedding if norm < _NOTHING else np.asarray(mean / norm, np.float32)

    @property
    def coherence(self) -> float:
        """How much the looks agree, in (0, 1]: the norm of their mean before it was made 1; a single look's is 1."""
        _, norm = self._mean()
        return 1.0 if norm < _NOTHING else min(1.0, norm)

    def _mean(self) -> tuple[Embedding, float]:
        weights = np.asarray([max(_LEAST_WEIGHT, look.quality) for look in self.looks], np.float32)
        mean = (weights / weights.sum()) @ np.stack([look.embedding for look in self.looks])
        return mean, float(np.linalg.norm(mean))

    def distance(self, embedding: Embedding) -> float:
        """Squared L2 from the template to an embedding of norm 1."""
        return max(0.0, 2.0 - 2.0 * float(self.embedding @ embedding))
