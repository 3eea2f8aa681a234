"""The templates of one gallery in memory: an append-only matrix seen through immutable views.

A view knows how many rows it covers and which of them live. Appending writes behind the rows of every earlier view,
removing copies only the mask: whoever searches an older view is never disturbed, and a change costs what changed.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.domain import Embeddings

Keys = NDArray[np.int64]
"""(N,) int64: keys of templates, ascending, never used twice."""


class _Arena:
    """Growing arrays; `used` rows of them belong to some view."""

    def __init__(self, dimension: int, capacity: int) -> None:
        self.lock = threading.Lock()
        self.used = 0
        self.keys: Keys = np.empty(capacity, np.int64)
        self.owners: Keys = np.empty(capacity, np.int64)
        self.vectors: Embeddings = np.empty((capacity, dimension), np.float32)

    def grown(self, count: int, capacity: int) -> _Arena:
        """A copy of the first `count` rows with room for `capacity`."""
        other = _Arena(self.vectors.shape[1], capacity)
        other.keys[:count] = self.keys[:count]
        other.owners[:count] = self.owners[:count]
        other.vectors[:count] = self.vectors[:count]
        other.used = count
        return other

    def claim(self, start: int, stop: int) -> bool:
        """True when the rows start..stop are free and now the caller's."""
        with self.lock:
            if self.used != start or stop > len(self.keys):
                return False
            self.used = stop
            return True


@dataclass(frozen=True, slots=True)
class TemplateRows:
    """An immutable view of `count` rows, some of them dead.

    Attributes:
        count: rows, dead ones included.
        alive: (count,) bool.
        living: how many are alive.
    """

    _arena: _Arena
    count: int
    alive: NDArray[np.bool_]
    living: int

    @staticmethod
    def empty(dimension: int) -> TemplateRows:
        """No rows."""
        return TemplateRows(_Arena(dimension, 16), 0, np.zeros(0, np.bool_), 0)

    @property
    def dimension(self) -> int:
        """D."""
        return int(self._arena.vectors.shape[1])

    @property
    def keys(self) -> Keys:
        """(count,) keys of the templates, ascending."""
        return self._arena.keys[: self.count]

    @property
    def owners(self) -> Keys:
        """(count,) keys of the identities that the templates belong to."""
        return self._arena.owners[: self.count]

    @property
    def vectors(self) -> Embeddings:
        """(count, D) embeddings."""
        return self._arena.vectors[: self.count]

    def appended(self, keys: Keys, owners: Keys, vectors: Embeddings) -> TemplateRows:
        """A view with these rows behind the others.

        Raises:
            ValueError: when the keys don't ascend, or don't follow those that are there.
        """
        if not len(keys):
            return self
        last = self.keys[-1] if self.count else -1
        if keys[0] <= last or (np.diff(keys) <= 0).any():
            raise ValueError(f"template keys must ascend; {keys[:3]} come after {last}")
        start, stop = self.count, self.count + len(keys)
        arena = self._arena
        if not arena.claim(start, stop):
            arena = arena.grown(start, max(stop, start + start // 2, 16))
            arena.used = stop
        arena.keys[start:stop] = keys
        arena.owners[start:stop] = owners
        arena.vectors[start:stop] = vectors
        alive = np.concatenate([self.alive, np.ones(len(keys), np.bool_)])
        return TemplateRows(arena, stop, alive, self.living + len(keys))

    def without(self, keys: Keys) -> TemplateRows:
        """A view in which the rows of these keys are dead; unknown and dead keys don't matter."""
        found = self.positions(keys)
        alive = self.alive.copy()
        alive[found] = False
        return TemplateRows(self._arena, self.count, alive, int(np.count_nonzero(alive)))

    def positions(self, keys: Keys) -> NDArray[np.intp]:
        """Row numbers of those keys that are there, in the order of `keys`."""
        at = np.searchsorted(self.keys, keys)
        inside = at < self.count
        at = at[inside]
        found: NDArray[np.intp] = at[self.keys[at] == keys[inside]]
        return found

    def compacted(self) -> TemplateRows:
        """The living rows alone, in fresh arrays."""
        kept = np.flatnonzero(self.alive)
        fresh = _Arena(self.dimension, max(len(kept) + len(kept) // 8, 16))
        fresh.used = len(kept)
        fresh.keys[: len(kept)] = self.keys[kept]
        fresh.owners[: len(kept)] = self.owners[kept]
        np.take(self.vectors, kept, axis=0, out=fresh.vectors[: len(kept)])
        return TemplateRows(fresh, len(kept), np.ones(len(kept), np.bool_), len(kept))

    def caught_up(self, current: TemplateRows) -> TemplateRows:
        """These rows with everything that happened in `current` since they were taken from it or compacted."""
        if self._arena is current._arena:
            return current
        gone = self.keys[~np.isin(self.keys, current.keys[current.alive], assume_unique=True)]
        last = self.keys[-1] if self.count else -1
        fresh = current.alive & (current.keys > last)
        caught = self.without(gone) if len(gone) else self
        return caught.appended(current.keys[fresh], current.owners[fresh], current.vectors[fresh])
