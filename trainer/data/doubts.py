"""Crops that are probably labelled wrongly, and crops that are there twice, as a good embedder sees them."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from server.errors import StorageError
from trainer.data.catalog import Catalog

DOUBTS_FILE = "doubts.csv"
DUPLICATE_DISTANCE = 0.02
"""Squared L2; two photographs of one person, even of one moment, are several times farther apart."""

ROWS = 1024


@dataclass(frozen=True, slots=True)
class Suspect:
    """A crop that looks unlike its person.

    Attributes:
        crop: index.
        distance: mean squared L2 distance to the person's other crops.
        resembles: index of the person whom it resembles most; its own where nobody else is nearer.
        distance_to_them: mean squared L2 distance to their crops.
    """

    crop: int
    distance: float
    resembles: int
    distance_to_them: float


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two crops that show the same photograph.

    Attributes:
        first: index.
        second: index, greater than `first`.
        distance: squared L2.
    """

    first: int
    second: int
    distance: float


def suspects(embeddings: NDArray[np.float32], labels: NDArray[np.int64], threshold: float) -> tuple[Suspect, ...]:
    """Crops whose mean distance to their person's other crops exceeds a threshold, the worst first.

    Of a person with two crops that differ both are suspected, since nothing tells which is right.

    Args:
        embeddings: (N, D) float32, rows of L2 norm 1.
        labels: (N,) from 0, none left out.
        threshold: squared L2 at which two faces are taken for two people.
    """
    points = embeddings.astype(np.float64)
    counts = np.bincount(labels)
    sums = np.zeros((len(counts), points.shape[1]))
    np.add.at(sums, labels, points)
    # the mean of |x - y|^2 over unit vectors y is 2 - 2 x . mean(y)
    others = (sums[labels] - points) / np.maximum(counts[labels] - 1, 1)[:, None]
    own = 2 - 2 * np.einsum("nd,nd->n", points, others)
    doubtful = np.flatnonzero((own > threshold) & (counts[labels] > 1))
    to_people = 2 - 2 * points[doubtful] @ (sums / counts[:, None]).T
    to_people[np.arange(len(doubtful)), labels[doubtful]] = own[doubtful]
    nearest = to_people.argmin(axis=1)
    found = [
        Suspect(int(crop), float(own[crop]), int(person), float(to_people[row, person]))
        for row, (crop, person) in enumerate(zip(doubtful, nearest, strict=True))
    ]
    return tuple(sorted(found, key=lambda suspect: -suspect.distance))


def duplicates(embeddings: NDArray[np.float32], distance: float = DUPLICATE_DISTANCE) -> tuple[Duplicate, ...]:
    """Pairs of crops that are at most so far apart, in the order of their indices; of one person or of two."""
    points = embeddings.astype(np.float64)
    found = []
    for start in range(0, len(points), ROWS):
        block = 2 - 2 * points[start : start + ROWS] @ points.T
        for row, column in np.argwhere(block <= distance):
            if column > start + row:
                found.append(Duplicate(int(start + row), int(column), max(0.0, float(block[row, column]))))
    return tuple(found)


def write_doubts(folder: Path, catalog: Catalog, wrong: tuple[Suspect, ...], twice: tuple[Duplicate, ...]) -> None:
    """Lists both in doubts.csv; nothing is deleted, since the embedder may be wrong.

    Raises:
        StorageError: when it cannot be written.
    """
    rows = [
        ("label", catalog.paths[item.crop], catalog.identities[item.resembles], f"{item.distance:.3f}")
        for item in wrong
    ]
    rows += [
        ("duplicate", catalog.paths[item.first], str(catalog.paths[item.second]), f"{item.distance:.3f}")
        for item in twice
    ]
    try:
        with (folder / DOUBTS_FILE).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("doubt", "crop", "resembles", "distance"))
            writer.writerows(rows)
    except OSError as error:
        raise StorageError("DOUBTS_NOT_WRITTEN", f"{folder / DOUBTS_FILE}: {error.strerror}") from error
