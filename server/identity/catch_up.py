"""Following a gallery that other processes change: from the change log to what a gallery in memory must take in.

The log says who was changed, not how. So whoever is named behind the last revision that is in memory is compared with
the store: who it is now, which templates came, which are gone. That costs what the changed people have, not what the
gallery has, and holds for every kind of change.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import apsw
import numpy as np

from server.identity import reads
from server.identity.change import GalleryChange
from server.identity.live import View
from server.identity.loading import checked
from server.identity.reads import GalleryRow, StoredTemplates
from server.identity.roster import GONE, Person
from server.identity.rows import Keys

_logger = logging.getLogger(__name__)

INTERVAL_S: Final = 0.05
"""Between two looks at the store."""

_LONGEST_S: Final = 5.0
"""Between two looks when looking fails."""


class OtherHistoryError(Exception):
    """The store's history isn't the one that the gallery in memory comes from, as after a restored backup."""


@dataclass(frozen=True, slots=True)
class _Touched:
    """The people of some changes.

    Attributes:
        people: by identity key; `GONE` for those who were there and no longer are.
        stored: their templates.
    """

    people: dict[int, Person]
    stored: StoredTemplates


def changes_behind(
    db: apsw.Connection, row: GalleryRow, view: View, *, fingerprint: str, dimension: int
) -> list[GalleryChange]:
    """What brings a state of a gallery to the one that is stored; to be applied together.

    Args:
        db: a connection inside a transaction.
        row: the gallery's, read in it.
        view: the state in memory.
        fingerprint: of the server's embeddings; templates of other models stay out of memory.
        dimension: of the server's embeddings.

    Raises:
        OtherHistoryError: when the state isn't an earlier one of the stored gallery.
        StorageError: when an embedding is damaged.
    """
    if row.revision < view.revision or reads.stamp_of(db, row.key, view.revision) != view.stamp:
        raise OtherHistoryError(f"revision {view.revision} of {row.name} is not in the change log")
    touched = _touched(db, row, view, dimension if row.fingerprint == fingerprint else None)
    rows = view.index.rows
    known = rows.alive & np.isin(rows.owners, list(touched.people))
    fresh = np.flatnonzero(~np.isin(touched.stored.keys, rows.keys[known], assume_unique=True))
    gone = rows.keys[known][~np.isin(rows.keys[known], touched.stored.keys, assume_unique=True)]
    stamp = reads.stamp_of(db, row.key, row.revision)

    def change(identity_key: int, at: Keys | None = None) -> GalleryChange:
        some = touched.stored
        return GalleryChange(
            gallery=row.name,
            gallery_key=row.key,
            revision=row.revision,
            stamp=stamp,
            fingerprint=row.fingerprint,
            identity_key=identity_key,
            person=touched.people.get(identity_key, GONE),
            added=[] if at is None else some.keys[at].tolist(),
            vectors=some.vectors[[] if at is None else at],
            coherences=reads.coherences_of(db, identity_key),
            negatives=reads.negatives_of(db, identity_key, fingerprint),
        )

    owners = touched.stored.owners[fresh]
    runs = np.split(fresh, np.flatnonzero(np.diff(owners)) + 1) if len(fresh) else []
    changes = [change(int(touched.stored.owners[run[0]]), run) for run in runs]
    changes += [change(key) for key in touched.people if key not in set(owners.tolist())]
    # A person who came and went between two looks leaves a revision and nothing else; no key is 0.
    first, *others = changes or [change(0)]
    return [replace(first, removed=gone.tolist()), *others]


def _touched(db: apsw.Connection, row: GalleryRow, view: View, dimension: int | None) -> _Touched:
    since = (row.key, view.revision)
    people, missing = {}, set()
    for identity_id, key, display_name in reads.touched_people(db, *since):
        if key is None or display_name is None:
            missing.add(identity_id)
        else:
            people[key] = Person(identity_id, display_name)
    people |= dict.fromkeys(view.roster.keys_of(missing), GONE)
    if dimension is None:
        nothing = np.zeros(0, np.int64)
        return _Touched(people, StoredTemplates(nothing, nothing, np.zeros((0, view.index.rows.dimension), np.float32)))
    return _Touched(people, checked(reads.touched_templates(db, *since, dimension), dimension))


class Follower:
    """A thread that looks at the store again and again. Start it once, stop it once."""

    def __init__(self, look: Callable[[], None], *, interval_s: float = INTERVAL_S) -> None:
        self._look = look
        self._interval_s = interval_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gallery-follower", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        pause = self._interval_s
        while not self._stopping.wait(pause):
            try:
                self._look()
                pause = self._interval_s
            except Exception:
                pause = min(2 * pause, _LONGEST_S)
                _logger.exception("following the store failed; searches miss what other processes change meanwhile")
