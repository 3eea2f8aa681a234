"""The thread that tidies: it settles the groups of unknown faces, and removes what is too old to keep.

Everything it does to the store it does in small writes on the writing thread, between those of others.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

import apsw

from server.identity.change import StoreChange
from server.identity.graph import CancelledError
from server.identity.group_commit import Outcome
from server.identity.shared_store import SharedStore
from server.identity.sightings.clustering import Clusterings, Place
from server.identity.sightings.retention import RetentionPolicy, expire, galleries_seen

_logger = logging.getLogger(__name__)

_PAUSE_S: Final = 1.0
"""Between two looks at whether something is unsettled."""

_RETENTION_S: Final = 60.0
"""Between two looks at whether something is too old."""

_STEPS: Final = 20
"""Steps of one gallery's settling at one look."""


def settle(db: apsw.Connection, clusterings: Clusterings, place: Place) -> Outcome[None, StoreChange]:
    """One bounded step of putting right what greedy placing got wrong."""
    clusters = clusterings.of(db, place.gallery_key)
    plan = clusters.consolidate()
    if plan.changes_anything:
        return Outcome(None, (clusterings.write(db, place, plan),))
    if plan.examined:
        clusters.apply(plan)
    return Outcome(None)


class Keeper:
    """Settles and expires, now and then. Start it once, stop it once.

    Args:
        store: where sightings are kept.
        clusterings: of all galleries.
        policy: what is kept how long.
        clock: wall-clock nanoseconds since the epoch.
    """

    def __init__(
        self, store: SharedStore, clusterings: Clusterings, policy: RetentionPolicy, clock: Callable[[], int]
    ) -> None:
        self._store = store
        self._clusterings = clusterings
        self._policy = policy
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sightings-keeper", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; what is not tidied is tidied after the next start."""
        self._stopping.set()
        self._thread.join()

    def settle(self) -> None:
        """Settles the groups of every gallery, a bounded number of steps each."""
        for place in self._places():
            for _ in range(_STEPS):
                if self._stopping.is_set() or not self._unsettled(place):
                    break
                self._store.write(
                    lambda db, place=place: settle(db, self._clusterings, place)  # type: ignore[misc] # per round
                )
            self._fold(place)

    def _unsettled(self, place: Place) -> bool:
        clusters = self._clusterings.seen(place.gallery_key)
        return clusters is not None and clusters.unsettled > 0

    def _fold(self, place: Place) -> None:
        clusters = self._clusterings.seen(place.gallery_key)
        if clusters is not None and clusters.needs_fold:
            try:
                clusters.fold(self._stopping.is_set)
            except CancelledError:
                return

    def expire(self) -> int:
        """Removes everything that is not to be kept; how many sightings that was."""
        gone = 0
        for place in self._places():
            while not self._stopping.is_set():
                count = self._store.write(
                    lambda db, place=place: expire(db, self._clusterings, place, self._policy)  # type: ignore[misc]
                )
                gone += count
                if not count:
                    break
        return gone

    def _places(self) -> list[Place]:
        with self._store.reading() as db:
            return [Place(name, key, self._clock()) for key, name in galleries_seen(db)]

    def _run(self) -> None:
        until_retention = 0.0
        while not self._stopping.wait(_PAUSE_S):
            try:
                self.settle()
                until_retention -= _PAUSE_S
                if until_retention <= 0:
                    until_retention = _RETENTION_S
                    gone = self.expire()
                    if gone:
                        _logger.info("sightings expired", extra={"count": gone})
            except Exception:
                _logger.exception("tidying sightings failed; it is tried again")
