"""All galleries of a store in memory, kept up with what this process and others write."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import apsw

from server.domain import GalleryName
from server.identity import reads
from server.identity.catch_up import Follower, OtherHistoryError, changes_behind
from server.identity.change import GalleryChange, StoreChange
from server.identity.folder import Folder
from server.identity.live import LiveGallery
from server.identity.loading import Loader
from server.identity.reads import GalleryRow
from server.identity.shared_store import SharedStore

_logger = logging.getLogger(__name__)


class LiveGalleries:
    """Every gallery, ready to be searched. Load it once, then start it once; stop it once.

    Args:
        store: changes of this process are taken in before the writes that made them return.
        loader: makes galleries of what is stored.
        follows: whether other processes write too; what they wrote is taken in within a fraction of a second.
    """

    def __init__(self, store: SharedStore, loader: Loader, *, follows: bool) -> None:
        self._store = store
        self._loader = loader
        self._galleries: dict[GalleryName, LiveGallery] = {}
        self._taking_in = threading.Lock()
        self._folder = Folder()
        self._follower = Follower(self._catch_up) if follows else None
        store.listen(self._published)

    def load(self) -> None:
        """Loads what is stored.

        Raises:
            StorageError: when an embedding is damaged.
        """
        with self._store.reading() as db:
            for row in reads.galleries(db):
                self._galleries[row.name] = self._loader.load(db, row)

    def start(self) -> None:
        """Starts the threads that fold and follow."""
        self._folder.start()
        for gallery in self._galleries.values():
            self._folder.look_at(gallery)
        if self._follower is not None:
            self._follower.start()

    def stop(self) -> None:
        """Ends the threads; what is not folded is folded after the next start."""
        if self._follower is not None:
            self._follower.stop()
        self._folder.stop()

    def names(self) -> tuple[GalleryName, ...]:
        """Every gallery that has, or had, somebody."""
        return tuple(self._galleries)

    def get(self, name: GalleryName) -> LiveGallery | None:
        """A gallery; None for one that never had anybody."""
        return self._galleries.get(name)

    def folded(self, timeout_s: float) -> bool:
        """Waits until every index is folded; False when that takes longer."""
        return self._folder.settled(timeout_s)

    def _published(self, changes: Sequence[StoreChange]) -> None:
        by_gallery: dict[GalleryName, list[GalleryChange]] = {}
        for change in changes:
            if isinstance(change, GalleryChange):
                by_gallery.setdefault(change.gallery, []).append(change)
        with self._taking_in:
            for name, its in by_gallery.items():
                self._take_in(name, its)

    def _take_in(self, name: GalleryName, changes: Sequence[GalleryChange]) -> None:
        """Applies changes of this process, with those of other processes between them if there are any."""
        live = self._galleries.get(name) or self._loader.new(name, changes[0].gallery_key)
        if live.view.revision + 1 == changes[0].revision and len(changes) == changes[-1].revision - live.view.revision:
            live.apply(changes)
            self._galleries[name] = live
            self._folder.look_at(live)
        else:
            with self._store.reading() as db:
                self._bring_up(db)

    def _catch_up(self) -> None:
        """Takes in what other processes wrote."""
        with self._taking_in, self._store.reading() as db:
            self._bring_up(db)

    def _bring_up(self, db: apsw.Connection) -> None:
        for row in reads.galleries(db):
            live = self._galleries.get(row.name)
            if live is None:
                self._galleries[row.name] = live = self._loader.load(db, row)
            elif live.view.revision != row.revision:
                try:
                    live.apply(self._behind(db, row, live))
                except OtherHistoryError as error:
                    _logger.warning("gallery loaded anew", extra={"cause": str(error)})
                    self._galleries[row.name] = live = self._loader.load(db, row)
            else:
                continue
            self._folder.look_at(live)

    def _behind(self, db: apsw.Connection, row: GalleryRow, live: LiveGallery) -> list[GalleryChange]:
        return changes_behind(
            db, row, live.view, fingerprint=self._loader.fingerprint, dimension=self._loader.dimension
        )
