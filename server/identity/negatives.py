"""Who a person is not: faces that an admin said were taken for the person wrongly.

A match is an assertion that somebody may deny. What was denied once must not come back, neither for the very face nor
for others like it: a face that is nearer to a denied one than to the person's own templates does not show the person.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.domain import Embedding, Embeddings


@dataclass(frozen=True, slots=True)
class NegativeFaces:
    """Negative references of one person.

    Attributes:
        vectors: (N, D) embeddings.
        radii: (N,) float32, how far each reaches, squared L2.
    """

    vectors: Embeddings
    radii: NDArray[np.float32]

    def forbid(self, probe: Embedding, distance: float) -> bool:
        """True when a face must not be taken for the person.

        Args:
            probe: (D,) the face.
            distance: of the person's nearest template, squared L2.
        """
        difference = self.vectors - probe
        distances = np.vecdot(difference, difference)
        return bool(((distances <= self.radii) & (distances < distance)).any())

    def __len__(self) -> int:
        return len(self.radii)
