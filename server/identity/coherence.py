"""What a distance to a mean of several looks is worth. Pure.

The mean of looks that is made a unit vector again lies nearer to everybody than the looks do on average: nearer to the
person, whose chance differences cancel out, and nearer to strangers, since what people have in common does not cancel.
How much follows from the norm that the mean had before, its coherence: 1 for looks that are all the same, less the more
they differ. Thresholds are measured on single pictures, so a distance to a mean is first turned into that of one look.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from server.domain import Embedding


def as_of_one_look(distances: ArrayLike, coherences: ArrayLike) -> NDArray[np.float64]:
    """The distances of single looks that strangers reach as often as these of means, or more often.

    Making a mean a unit vector divides its cosines by the coherence. Taking that back wholly would leave strangers
    farther away than from single looks; multiplying by the square root leaves them at least as near as that
    (`python -m tests.benchmarks.tracks`).

    Args:
        distances: squared L2 between unit vectors, one of which is a mean of looks.
        coherences: norms that these means had, in (0, 1], of a shape that fits.

    Returns:
        Squared L2, never smaller than `distances`, and the same where the coherence is 1.
    """
    given = np.asarray(distances, np.float64)
    farther: NDArray[np.float64] = np.maximum(given, given + (2 - given) * (1 - np.sqrt(coherences)))
    return farther


def shrunk(embedding: Embedding, coherence: float) -> Embedding:
    """A mean of looks, shortened so that 2 - 2 times the product of two of them is their distance as of one look.

    That is `as_of_one_look` with the product of their coherences, for distances up to 2: farther apart nobody is near.

    Args:
        embedding: (D,) float32 of norm 1.
        coherence: in (0, 1]; 1 leaves the embedding as it is.

    Returns:
        (D,) float32.
    """
    return embedding if coherence == 1 else embedding * np.float32(math.sqrt(coherence))


def counted(
    keys: NDArray[np.int64], distances: NDArray[np.float32], coherences: Mapping[int, float]
) -> NDArray[np.float64]:
    """Distances to templates as thresholds mean them.

    Args:
        keys: (N,) of the templates.
        distances: (N,) squared L2 to them.
        coherences: of those templates that are means of several looks, by key.

    Returns:
        (N,) squared L2, as of one look.
    """
    if not coherences:
        return distances.astype(np.float64)
    return as_of_one_look(distances, [coherences.get(key, 1.0) for key in keys.tolist()])
