"""What the model is compared with: a store with people, sightings and groups, in this process or in a child."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from server.domain import GalleryName, IdentityName, Match, OperationName, SightingName, TrackReport, UnknownName
from server.errors import FacestreamError
from server.identity.gallery import Galleries
from server.identity.records import RequestStamp
from server.identity.sightings.book import Sightings
from server.identity.sightings.clustering import cluster_rows
from server.identity.sightings.orders import Order
from server.identity.sightings.records import Sighting, SightingFilter, UnknownState
from tests.server.identity.crowd import DIMENSION, FINGERPRINT, GALLERY, SMALL
from tests.server.identity.sightings.passers import Passers, rule_of


class RefusedError(Exception):
    """The system refused; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Row:
    """A sighting as the system tells it: track, sighting, identity, display name, group; "" for none."""

    track: str
    sighting: str
    identity: str
    display_name: str
    group: str


class System:
    """Sightings in a directory; what changes something is told its request id, and may be repeated."""

    def __init__(self, folder: Path) -> None:
        self._galleries = Galleries.open(folder, fingerprint=FINGERPRINT, dimension=DIMENSION, index=SMALL)
        self._sightings = Sightings(self._galleries, rule_of())
        self._hall = Passers(self._galleries, self._sightings)

    def close(self) -> None:
        """Stops in order."""
        self._galleries.close()

    def passes(self, person: int, look: int, track: str, *, ended: bool) -> tuple[str, Row | None]:
        """A person passes by: the match that the tracker reports ("" for none), and the sighting that came of it."""
        report = self._hall.report(person, look=look, track=track, ended=ended)
        return self._observed(report)

    def _observed(self, report: TrackReport) -> tuple[str, Row | None]:
        self._sightings.observe(report)
        self._hall.settle()
        with self._galleries.store.reading() as db:
            keys = [key for (key,) in db.execute("SELECT sighting_key FROM sightings WHERE track = ?", (report.track,))]
        rows = [_row(seen) for seen in self._sightings.by_key(GALLERY, keys)]
        identity = report.answer.identity if isinstance(report.answer, Match) else ""
        return identity, rows[0] if rows else None

    def rows(self, group: str = "") -> list[Row]:
        """Every sighting, or those of a group, the oldest first."""
        rows, token = [], ""
        while True:
            page = self._sightings.list_page(
                GALLERY, SightingFilter(unknown=group, include_ignored=True), page_size=1000, page_token=token
            )
            rows += map(_row, page.sightings)
            token = page.next_page_token
            if not token:
                return rows[::-1]

    def groups(self) -> dict[str, tuple[str, str, int]]:
        """Every known group: state, identity, sightings."""
        groups, token = {}, ""
        while True:
            page = self._sightings.unknowns_page(GALLERY, tuple(UnknownState), page_size=1000, page_token=token)
            groups |= {u.name: (u.state.value, u.identity, u.sighting_count) for u in page.unknowns}
            token = page.next_page_token
            if not token:
                return groups

    def people(self) -> dict[str, str]:
        """Display names of everybody enrolled."""
        page = self._galleries.list_page(GALLERY, page_size=1000)
        assert not page.next_page_token
        return {identity.name: identity.display_name for identity in page.identities}

    def snapshot_agrees(self) -> bool:
        """Whether the clustering in memory is what the store would make of it."""
        return self._galleries.store.write(lambda db: _Agreement(self._sightings, db))

    def name(self, request: str, group: str, display_name: str, identity: str) -> tuple[str, str]:
        """Names a group; the operation and the identity."""
        receipt = self._sightings.name(
            UnknownName.parse(group),
            display_name=display_name,
            identity=IdentityName.parse(identity) if identity else None,
            order=_order(request),
        )
        return receipt.operation, receipt.identity

    def merge(self, request: str, groups: Sequence[str]) -> tuple[str, str]:
        """Merges groups; the operation and the survivor."""
        receipt = self._sightings.merge([UnknownName.parse(group) for group in groups], order=_order(request))
        return receipt.operation, receipt.unknown

    def split(self, request: str, group: str, sightings: Sequence[str]) -> tuple[str, str, list[str]]:
        """Splits a group; the operation, the new group, and the tracks that left."""
        receipt = self._sightings.split(
            UnknownName.parse(group), [SightingName.parse(name) for name in sightings], order=_order(request)
        )
        leavers = self._sightings.list_page(
            GALLERY, SightingFilter(unknown=receipt.other, include_ignored=True), page_size=1000
        )
        return receipt.operation, receipt.other, [seen.track for seen in leavers.sightings]

    def ignore(self, request: str, group: str, *, ignored: bool) -> str:
        """Hides or shows a group; the operation."""
        return self._sightings.ignore(UnknownName.parse(group), ignored=ignored, order=_order(request)).operation

    def reject(self, request: str, sighting: str) -> tuple[str, str]:
        """Denies a match; the operation and the group that the face is in now."""
        name = SightingName.parse(sighting)
        receipt = self._sightings.reject(name, order=_order(request))
        return receipt.operation, self._sightings.get(name)[0].person.unknown

    def undo(self, request: str, operation: str) -> str:
        """Takes an operation back, the last one when it is "" ; which one that was."""
        what: OperationName | GalleryName = OperationName.parse(operation) if operation else GALLERY
        return self._sightings.undo(what, order=_order(request)).operation

    def delete_group(self, request: str, group: str) -> int:
        """Deletes a group; its sightings."""
        return self._sightings.delete(UnknownName.parse(group), order=_order(request)).sighting_count

    def delete_person(self, request: str, identity: str) -> int:
        """Deletes a person; the sightings that went too."""
        stamp = RequestStamp(request, request)
        return self._galleries.delete(IdentityName.parse(identity), request=stamp, at_ns=1).sighting_count

    def rename(self, request: str, identity: str, display_name: str) -> None:
        """Gives a person another name."""
        self._galleries.rename(
            IdentityName.parse(identity), display_name, request=RequestStamp(request, request), at_ns=1
        )


def _row(seen: Sighting) -> Row:
    return Row(seen.track, seen.name, seen.person.identity, seen.person.display_name, seen.person.unknown)


def _order(request: str) -> Order:
    return Order(at_ns=1, request=RequestStamp(request, request))


class _Agreement:
    """The outcome of a write that writes nothing: does the clustering in memory agree with the store?"""

    changes, erases = (), False

    def __init__(self, sightings: Sightings, db: Any) -> None:
        key = db.execute("SELECT gallery_key FROM galleries").get
        if key is None:
            self.answer = True
            return
        clusterings = sightings._clusterings
        held = clusterings.of(db, key).snapshot()
        stored = cluster_rows(db, key, FINGERPRINT)
        self.answer = _comparable(held) == _comparable(stored)


def _comparable(rows: Any) -> object:
    faces = sorted((row.face.key, row.group, row.chunklet, row.face.embedding.tobytes()) for row in rows.faces)
    return faces, sorted(map(str, rows.groups)), sorted(rows.cannot_links)


def serve(folder: Path, calls: Connection) -> None:
    """Runs in a child: does what comes through the pipe until it is closed, or the process is killed."""
    system = System(folder)
    calls.send("ready")
    while True:
        try:
            method, arguments, options = calls.recv()
        except EOFError:
            break
        try:
            calls.send(("done", getattr(system, method)(*arguments, **options)))
        except FacestreamError as error:
            calls.send(("refused", error.reason))
    system.close()


class Child:
    """A system in a process of its own, that can be killed at any moment.

    Attributes:
        kills: how often it was killed in the middle of a call.
    """

    def __init__(self, folder: Path) -> None:
        self.kills = 0
        self._folder = folder
        self._spawn = multiprocessing.get_context("spawn")
        self.start()

    def start(self) -> None:
        """Starts the process and waits until the store is open."""
        self._calls, theirs = self._spawn.Pipe()
        self._process = self._spawn.Process(target=serve, args=(self._folder, theirs), daemon=True)
        self._process.start()
        theirs.close()
        assert self._calls.recv() == "ready"

    def call(self, method: str, *arguments: object, kill_after_s: float | None = None, **options: object) -> Any:
        """Calls a method; kills the process when that takes longer than `kill_after_s`, starts it and calls again.

        Raises:
            RefusedError: the system refused.
        """
        self._calls.send((method, arguments, options))
        if kill_after_s is not None and not self._calls.poll(kill_after_s):
            self.kills += 1
            self.kill()
            self.start()
            self._calls.send((method, arguments, options))
        outcome, value = self._calls.recv()
        if outcome == "refused":
            raise RefusedError(value)
        return value

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.join()
        self._calls.close()

    def restart(self) -> None:
        """Stops in order and starts again."""
        self._calls.close()
        self._process.join()
        self.start()


class Here:
    """A system in this process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._system = System(folder)

    def call(self, method: str, *arguments: object, **options: object) -> Any:
        """Calls a method.

        Raises:
            RefusedError: the system refused.
        """
        try:
            return getattr(self._system, method)(*arguments, **options)
        except FacestreamError as error:
            raise RefusedError(error.reason) from error

    def restart(self) -> None:
        """Closes the store and opens it again."""
        self._system.close()
        self._system = System(self._folder)

    def close(self) -> None:
        """Closes the store."""
        self._system.close()
