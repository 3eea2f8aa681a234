"""Telling those who watch what happens to sightings, without ever waiting for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from server.domain import GalleryName
from server.errors import ExhaustedError
from server.identity.sightings.records import SightingChange

_MOST: Final = 20_000
"""Things that a watcher may leave untaken."""


@dataclass(frozen=True, slots=True)
class News:
    """What happened since the last time.

    Attributes:
        sightings: keys of sightings that are new or changed, each once, in the order of their last change.
        people: resource names of groups and identities that are somebody else, or called otherwise.
        deleted: keys of sightings that are gone.
    """

    sightings: tuple[int, ...]
    people: tuple[str, ...]
    deleted: tuple[int, ...]


class Watch:
    """What one watcher has not been told yet.

    Args:
        gallery: that is watched.
        notify: called, from any thread, when there is news.
    """

    def __init__(self, gallery: GalleryName, notify: Callable[[], object]) -> None:
        self.gallery = gallery
        self._notify = notify
        self._lock = threading.Lock()
        self._sightings: dict[int, None] = {}
        self._people: dict[str, None] = {}
        self._deleted: dict[int, None] = {}
        self._overrun = False

    def tell(self, change: SightingChange) -> None:
        """Takes note of a change of the gallery that is watched."""
        with self._lock:
            for key in change.sightings:
                self._sightings.pop(key, None)
                self._sightings[key] = None
            for key in change.deleted:
                self._sightings.pop(key, None)
                self._deleted[key] = None
            self._people |= dict.fromkeys(change.people)
            if len(self._sightings) + len(self._people) + len(self._deleted) > _MOST:
                self._overrun = True
                self._sightings, self._people, self._deleted = {}, {}, {}
        self._notify()

    def take(self) -> News:
        """What happened since the last call.

        Raises:
            ExhaustedError: WATCH_FELL_BEHIND, when too much was left untaken.
        """
        with self._lock:
            if self._overrun:
                raise ExhaustedError(
                    "WATCH_FELL_BEHIND",
                    f"more than {_MOST} changes were not read in time; watch again and list what happened meanwhile",
                )
            news = News(tuple(self._sightings), tuple(self._people), tuple(self._deleted))
            self._sightings, self._people, self._deleted = {}, {}, {}
        return news


@dataclass(frozen=True)
class Watches:
    """Everybody who watches."""

    _watches: dict[int, Watch] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, gallery: GalleryName, notify: Callable[[], object]) -> Watch:
        """A new watch; `end` it."""
        watch = Watch(gallery, notify)
        with self._lock:
            self._watches[id(watch)] = watch
        return watch

    def end(self, watch: Watch) -> None:
        """Tells the watch nothing more."""
        with self._lock:
            self._watches.pop(id(watch), None)

    def publish(self, changes: Iterable[SightingChange]) -> None:
        """Tells every watch of the changes in its gallery."""
        with self._lock:
            watches = tuple(self._watches.values())
        for change in changes:
            for watch in watches:
                if watch.gallery == change.gallery:
                    watch.tell(change)
