"""Who is it: nearest neighbours in a gallery, with and without strangers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.errors import DatasetError
from trainer.evaluate.proportion import Proportion, wilson
from trainer.evaluate.verification import threshold_at_far

ROWS = 1024
"""Probes that are compared with the gallery at a time, so that memory stays at ROWS times its size."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Embeddings and whose they are.

    Attributes:
        embeddings: (N, D) float32, rows of L2 norm 1.
        labels: (N,) whose.
    """

    embeddings: NDArray[np.float32]
    labels: NDArray[np.intp]

    def __post_init__(self) -> None:
        if self.embeddings.ndim != 2 or self.labels.shape != (len(self.embeddings),):
            raise ValueError(f"embeddings {self.embeddings.shape} and labels {self.labels.shape} don't agree")


def rank_one(gallery: Labelled, probes: Labelled, *, neighbours: int = 1) -> Proportion:
    """The share of probes whose `neighbours` nearest faces of the gallery vote for the right person.

    Of people with equally many votes the one with the nearest face wins.

    Raises:
        DatasetError: when the gallery is smaller than `neighbours`, or there are no probes.
    """
    _require(gallery, probes, neighbours)
    right = 0
    for rows in _chunks(len(probes.labels)):
        distances = _distances(probes.embeddings[rows], gallery.embeddings)
        nearest = np.argpartition(distances, neighbours - 1, axis=1)[:, :neighbours]
        ranks = np.take_along_axis(distances, nearest, axis=1).argsort(axis=1, kind="stable")
        voters = gallery.labels[np.take_along_axis(nearest, ranks, axis=1)]
        right += int(np.count_nonzero(_elect(voters) == probes.labels[rows]))
    return wilson(right, len(probes.labels))


@dataclass(frozen=True, slots=True)
class OpenSet:
    """Identification where some probes are strangers.

    Attributes:
        target: the false accept rate of a stranger that was asked for.
        threshold: the largest squared L2 distance that keeps to it.
        identified: share of the probes of enrolled people that got the right name: the detection and identification
            rate, DIR.
        misnamed: share of the probes of enrolled people that got another's name.
        accepted_strangers: share of the strangers that got a name.
    """

    target: float
    threshold: float
    identified: Proportion
    misnamed: Proportion
    accepted_strangers: Proportion


def open_set(gallery: Labelled, probes: Labelled, strangers: NDArray[np.float32], *, target: float = 1e-2) -> OpenSet:
    """DIR at the threshold where at most the share `target` of the strangers gets a name.

    Args:
        gallery: the enrolled faces.
        probes: other faces of the same people.
        strangers: (S, D) float32, faces of people who are not in the gallery.
        target: false accept rate of one search of the whole gallery, not of one comparison.

    Raises:
        DatasetError: when there are no probes, too few strangers for the target, or the gallery is empty.
    """
    _require(gallery, probes, 1)
    distance, who = nearest(gallery, probes.embeddings)
    stranger_distance, _ = nearest(gallery, strangers)
    threshold = threshold_at_far(stranger_distance, target)
    named = distance <= threshold
    right = who == probes.labels
    count = len(probes.labels)
    return OpenSet(
        target,
        threshold,
        wilson(int((named & right).sum()), count),
        wilson(int((named & ~right).sum()), count),
        wilson(int((stranger_distance <= threshold).sum()), len(strangers)),
    )


def nearest(gallery: Labelled, probes: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """For each of (N, D) probes the squared L2 distance to the gallery's nearest face, and whose it is: (N,), (N,)."""
    distances, people = [np.zeros(0)], [np.zeros(0, np.intp)]
    for rows in _chunks(len(probes)):
        block = _distances(probes[rows], gallery.embeddings)
        best = block.argmin(axis=1)
        distances.append(block[np.arange(len(block)), best])
        people.append(gallery.labels[best])
    return np.concatenate(distances), np.concatenate(people)


def _distances(probes: NDArray[np.float32], gallery: NDArray[np.float32]) -> NDArray[np.float64]:
    left, right = probes.astype(np.float64), gallery.astype(np.float64)
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1)[None, :]
    answer: NDArray[np.float64] = np.maximum(squares - 2 * left @ right.T, 0)
    return answer


def _elect(voters: NDArray[np.intp]) -> NDArray[np.intp]:
    """(N, K) votes, nearest first -> (N,) winners."""
    votes = (voters[:, :, None] == voters[:, None, :]).sum(axis=2)
    # argmax takes the first, hence the nearest, of equals
    winners: NDArray[np.intp] = voters[np.arange(len(voters)), votes.argmax(axis=1)]
    return winners


def _chunks(count: int) -> list[slice]:
    return [slice(start, min(start + ROWS, count)) for start in range(0, count, ROWS)]


def _require(gallery: Labelled, probes: Labelled, neighbours: int) -> None:
    if neighbours < 1 or len(gallery.labels) < neighbours:
        raise DatasetError(
            "GALLERY_TOO_SMALL",
            f"{neighbours} neighbours cannot be found among {len(gallery.labels)} faces; take at least 1 neighbour and "
            "no more than the gallery's faces",
        )
    if not len(probes.labels):
        raise DatasetError("NO_PROBES", "there is no probe to identify")
