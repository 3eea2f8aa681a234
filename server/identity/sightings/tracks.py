"""The tracks that cameras report now: what of them must be written, and which group each belongs to.

A track is reported many times and written a few times: once when it is first reported, when its answer changes, when a
track of nobody is corroborated, each minute while it goes on, and at its end. While a write is on its way the newest
report waits in its place, so that a slow disk is never asked for more than one write a track. One whose sighting was
deleted, or was too old to keep, is written anew with its next report.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from server.domain import GalleryName, Match, TrackReport
from server.errors import FacestreamError

_logger = logging.getLogger(__name__)

_MOST: Final = 10_000
"""Tracks that are followed at the same time; beyond that the one that was silent longest is forgotten."""


_STALE_NS: Final = 60 * 10**9
"""A track that goes on is written once more after this long, so that it is known when it was last seen."""


_LONGEST_WAIT_S: Final = 10.0
"""For writes that are on their way when the server stops."""


@dataclass(slots=True)
class _Track:
    key: int = 0
    """Of its sighting; 0 while there is none."""
    group: str = ""
    identity: str | None = None
    """As written last: the match, "" for an unknown; None while nothing is written."""
    last_seen_ns: int = 0
    ended: bool = False
    corroborated: bool = False
    writing: bool = False
    waiting: TrackReport | None = None


def identity_in(report: TrackReport) -> str:
    """Resource name of the person whom a report names; empty for an unknown."""
    return report.answer.identity if isinstance(report.answer, Match) else ""


class Tracks:
    """All tracks of all cameras. Every method may be called from any thread.

    Args:
        write: begins to write a report down; the future gets the key of the sighting once that is durable, 0 when
            nothing was to be written.
        group_in_store: resource name of the group that a sighting belongs to now; empty for none, None when the
            sighting is not there.
        corroborated: whether the looks of a report corroborate each other.

    Attributes:
        revision: goes up whenever a track comes to belong to another group.
    """

    def __init__(
        self,
        write: Callable[[TrackReport], Future[int]],
        group_in_store: Callable[[GalleryName, int], str | None],
        corroborated: Callable[[TrackReport], bool],
    ) -> None:
        self.revision = 0
        self._write = write
        self._group_in_store = group_in_store
        self._corroborated = corroborated
        self._tracks: dict[tuple[GalleryName, str], _Track] = {}
        self._lock = threading.Lock()
        self._written_all = threading.Condition(self._lock)

    def observe(self, report: TrackReport) -> str:
        """Takes note of a track; resource name of the group that it belongs to now, empty for none and for a match."""
        name = (report.gallery, report.track)
        with self._lock:
            track = self._tracks.pop(name, None) or _Track()
            self._tracks[name] = track  # the dictionary's order is that of the last reports
            if track.writing:
                track.waiting = report
                begin = False
            else:
                begin = track.writing = self._says_more(report, track)
            self._forget_silent()
        if begin:
            self._begin(name, track, report)
        return "" if isinstance(report.answer, Match) else track.group

    def wait_until_written(self) -> None:
        """Waits until no write is on its way, and no report waits for one; not for ever, since a server must stop."""
        with self._written_all:
            done = self._written_all.wait_for(
                lambda: not any(track.writing for track in self._tracks.values()), _LONGEST_WAIT_S
            )
        if not done:
            _logger.error("sightings were not written in time", extra={"waited_s": _LONGEST_WAIT_S})

    def group_of(self, gallery: GalleryName, track: str) -> str:
        """Resource name of the group that a followed track belongs to; empty for none."""
        with self._lock:
            found = self._tracks.get((gallery, track))
            return found.group if found else ""

    def regroup(self, groups: Mapping[int, str | None]) -> None:
        """Tells to which groups sightings belong now, None for those that are gone; others than followed don't matter.

        A sighting that is gone leaves its track to be written anew.
        """
        with self._lock:
            for track in self._tracks.values():
                if track.key in groups:
                    self._join(track, groups[track.key])

    def _join(self, track: _Track, group: str | None) -> None:
        if group is None:
            track.key, track.identity, track.corroborated = 0, None, False
        if track.group != (group or ""):
            track.group = group or ""
            self.revision += 1

    def keys(self, gallery: GalleryName, sightings: frozenset[int], groups: frozenset[str]) -> list[int]:
        """Those sightings of followed tracks that are among these, or belong to one of these groups."""
        with self._lock:
            return [
                track.key
                for (where, _), track in self._tracks.items()
                if where == gallery and track.key and (track.key in sightings or track.group in groups)
            ]

    def _says_more(self, report: TrackReport, track: _Track) -> bool:
        """True when the report says what is not written yet."""
        identity = identity_in(report)
        if track.identity != identity or (report.ended and not track.ended):
            return True
        if report.last_seen_ns - track.last_seen_ns >= _STALE_NS:
            return True
        return not (identity or track.group or track.corroborated) and self._corroborated(report)

    def _forget_silent(self) -> None:
        if len(self._tracks) > _MOST:
            name = next((name for name, track in self._tracks.items() if not track.writing), None)
            if name is not None:
                del self._tracks[name]

    def _begin(self, name: tuple[GalleryName, str], track: _Track, report: TrackReport) -> None:
        try:
            future = self._write(report)
        except FacestreamError as error:
            self._finish(name, track, report, error)
            return
        future.add_done_callback(lambda done: self._finish(name, track, report, done))

    def _finish(
        self,
        name: tuple[GalleryName, str],
        track: _Track,
        report: TrackReport,
        done: Future[int] | FacestreamError,
    ) -> None:
        error = done if isinstance(done, FacestreamError) else done.exception()
        with self._lock:
            track.writing = False
            self._written_all.notify_all()
            if isinstance(done, Future) and error is None:
                error = self._written(name[0], track, report, done.result())
            newer, track.waiting = track.waiting, None
            again = newer is not None and self._says_more(newer, track)
            track.writing = again
            if not again and (track.ended or (error is not None and report.ended)):
                self._tracks.pop(name, None)
        if error is not None:
            _logger.error("a sighting was not written", extra={"cause": str(error), "lost": report.ended})
        if again and newer is not None:
            self._begin(name, track, newer)

    def _written(self, gallery: GalleryName, track: _Track, report: TrackReport, key: int) -> FacestreamError | None:
        """Takes note of what is written, and of the group.

        What was written together with it, and was told before, may have given it another group than it had in its own
        turn, or deleted it. So the store is asked, and under the lock: whatever is told later comes later.
        """
        track.key = key
        track.identity, track.ended, track.last_seen_ns = identity_in(report), report.ended, report.last_seen_ns
        track.corroborated = self._corroborated(report)
        try:
            self._join(track, self._group_in_store(gallery, key) if key else "")
        except FacestreamError as error:
            track.identity = None
            return error
        return None
