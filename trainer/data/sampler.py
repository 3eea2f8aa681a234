"""Which crops make a mini-batch: a pure function of the seed and the step, so that a resumed run draws the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.data.catalog import Catalog, require_trainable


@dataclass(frozen=True, slots=True)
class BatchShape:
    """What a mini-batch is made of (Schroff et al. 2015, section 3.2).

    Attributes:
        people: how many people have several faces in it, P.
        faces: how many faces of each, K; people who have fewer give all they have. About 40 in the paper.
        negatives: faces drawn from everybody else.
    """

    people: int = 40
    faces: int = 40
    negatives: int = 200

    def __post_init__(self) -> None:
        if self.people < 1 or self.faces < 2 or self.negatives < 0 or self.people + self.negatives < 2:
            raise ValueError(
                f"{self} makes no triplets: it needs 1 person or more with 2 faces or more, and somebody else"
            )


class Sampler:
    """Draws mini-batches from a catalog.

    Everyone with two crops or more comes once in an epoch, in an order that the epoch and the seed decide.
    """

    def __init__(self, catalog: Catalog, shape: BatchShape, *, seed: int) -> None:
        """Indexes the catalog.

        Raises:
            DatasetError: when no triplet can be made from it.
        """
        require_trainable(catalog)
        order = np.argsort(catalog.labels, kind="stable")
        self._crops = np.split(order, np.cumsum(catalog.counts())[:-1])
        self._labels = catalog.labels
        self._several = np.flatnonzero(catalog.counts() >= 2)
        self._shape = shape
        self._seed = seed
        self._people = min(shape.people, len(self._several))

    @property
    def steps_per_epoch(self) -> int:
        """Steps until everyone with two crops or more has come."""
        return -(-len(self._several) // self._people)

    def batch(self, step: int) -> NDArray[np.intp]:
        """Indices of the crops of a step, (B,): each person's together, then the negatives; none occurs twice.

        Where everyone is among the `people`, the negatives are further faces of theirs.
        """
        people = self._people_of(step)
        generator = np.random.default_rng([self._seed, 1, step])
        drawn = [generator.permutation(self._crops[person])[: self._shape.faces] for person in people]
        chosen = np.concatenate(drawn)
        return np.concatenate([chosen, self._negatives(people, chosen, generator)])

    def _people_of(self, step: int) -> NDArray[np.intp]:
        epoch, place = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self._seed, 0, epoch]).permutation(self._several)
        # the last step of an epoch is filled up from its beginning
        places = np.arange(place * self._people, (place + 1) * self._people) % len(order)
        return order[places]

    def _negatives(
        self, people: NDArray[np.intp], chosen: NDArray[np.intp], generator: np.random.Generator
    ) -> NDArray[np.intp]:
        others = np.flatnonzero(~np.isin(self._labels, people))
        if not len(others):
            others = np.setdiff1d(np.arange(len(self._labels)), chosen)
        return generator.permutation(others)[: self._shape.negatives]
