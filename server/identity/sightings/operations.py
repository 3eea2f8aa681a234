"""The audit log: what admins did, and what undoing it puts back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import apsw

from server.domain import GalleryName, OperationName
from server.errors import NotFoundError
from server.identity.sightings import reads
from server.identity.sightings.clustering import Place
from server.identity.sightings.records import Operation, OperationKind

ANONYMOUS: Final = "anonymous"
"""Who does things while nobody has to say who calls."""


@dataclass(frozen=True, slots=True)
class FaceBefore:
    """Where a sighting's face was, by keys of the store.

    Attributes:
        sighting: whose face.
        unknown: its group; 0 when it was in none.
        chunklet: its chunklet.
        identity: the sighting's match; 0 when it had none.
    """

    sighting: int
    unknown: int
    chunklet: int
    identity: int


@dataclass(frozen=True, slots=True)
class UnknownBefore:
    """What a group was, by keys of the store; 0 for no identity."""

    unknown: int
    ignored: bool
    identity: int


@dataclass(frozen=True, slots=True)
class Before:
    """What an operation changed: keys of the store alone, no name, face or picture of anybody.

    Attributes:
        faces: that were moved.
        unknowns: that were changed; one that was taken in by another stood by itself before.
        started: groups that came into being, whose faces go back to the group that they came from.
        linked: cannot-links that came, as pairs of chunklets.
        unlinked: cannot-links that went.
        identity: whom it was about; 0 for nobody.
        created: the identity came into being.
        templates: that came.
        withdrawn: sightings that were templates before.
        negative: a negative reference that came; 0 for none.
        affirmed: sightings of which it had been denied that they show the person, each with the radius of the denial.
    """

    faces: tuple[FaceBefore, ...] = ()
    unknowns: tuple[UnknownBefore, ...] = ()
    started: tuple[int, ...] = ()
    linked: tuple[tuple[int, int], ...] = ()
    unlinked: tuple[tuple[int, int], ...] = ()
    identity: int = 0
    created: bool = False
    templates: tuple[int, ...] = ()
    withdrawn: tuple[int, ...] = ()
    negative: int = 0
    affirmed: tuple[tuple[int, float], ...] = ()

    def text(self) -> str:
        """As the store keeps it."""
        return json.dumps(asdict(self))

    @staticmethod
    def read(text: str) -> Before:
        """From the store."""
        value: dict[str, Any] = json.loads(text)
        before = Before(**value)
        return replace(
            before,
            faces=tuple(FaceBefore(**face) for face in value["faces"]),
            unknowns=tuple(UnknownBefore(**unknown) for unknown in value["unknowns"]),
            started=tuple(value["started"]),
            linked=tuple((a, b) for a, b in value["linked"]),
            unlinked=tuple((a, b) for a, b in value["unlinked"]),
            templates=tuple(value["templates"]),
            withdrawn=tuple(value["withdrawn"]),
            affirmed=tuple((sighting, radius) for sighting, radius in value["affirmed"]),
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """A new line of the audit log.

    Attributes:
        kind: what was done.
        principal: by whom.
        subjects: resource names of what it was about.
        touched: what a later operation must not have touched when this one is undone, such as unknown/7.
        before: what undoing puts back; None when there is no way back.
    """

    kind: OperationKind
    principal: str
    subjects: Sequence[str]
    touched: Iterable[str] = ()
    before: Before | None = None


def log(db: apsw.Connection, place: Place, entry: Entry) -> OperationName:
    """Writes an operation down."""
    prefix = f"{place.gallery}/"
    subjects = [subject.removeprefix(prefix) for subject in entry.subjects]
    db.execute(
        "INSERT INTO operations (gallery_key, kind, principal, at_ns, subjects, before) VALUES (?, ?, ?, ?, ?, ?)",
        (
            place.gallery_key,
            entry.kind.value,
            entry.principal,
            place.at_ns,
            json.dumps(subjects),
            entry.before.text() if entry.before else "",
        ),
    )
    key = db.last_insert_rowid()
    db.executemany(
        "INSERT INTO operation_subjects (operation_key, subject) VALUES (?, ?)",
        [(key, subject) for subject in sorted(set(entry.touched))],
    )
    return OperationName(place.gallery, key)


@dataclass(frozen=True, slots=True)
class OperationRow:
    """An operation as it is stored: its key, itself, and what undoing it puts back, None when there is no way back."""

    key: int
    operation: Operation
    before: Before | None


_OPERATION: Final = "SELECT operation_key, kind, principal, at_ns, subjects, undone, before FROM operations "


def operation(db: apsw.Connection, name: OperationName) -> OperationRow:
    """An operation.

    Raises:
        NotFoundError: when it is not there.
    """
    row = db.execute(
        _OPERATION + "WHERE gallery_key = ? AND operation_key = ?", (reads.gallery_key(db, name.gallery), name.key)
    ).fetchone()
    if row is None:
        raise NotFoundError(
            "OPERATION_NOT_FOUND", f"{name} is not there; list the operations to see which there are", field="name"
        )
    return _row(name.gallery, row)


def last_undoable(db: apsw.Connection, gallery: GalleryName) -> OperationRow:
    """The last operation that can be undone.

    Raises:
        NotFoundError: when there is none.
    """
    rows = db.execute(
        _OPERATION + "WHERE gallery_key = ? AND NOT undone AND before <> '' ORDER BY operation_key DESC",
        (reads.gallery_key(db, gallery),),
    )
    for row in rows:
        found = _row(gallery, row)
        if found.before is not None and is_reversible(db, found.before):
            return found
    raise NotFoundError("NOTHING_TO_UNDO", f"no operation on {gallery} can be undone")


def is_reversible(db: apsw.Connection, before: Before) -> bool:
    """Whether the person and every group that an operation changed are still there."""
    if (
        before.identity
        and not db.execute("SELECT EXISTS (SELECT 1 FROM identities WHERE identity_key = ?)", (before.identity,)).get
    ):
        return False
    keys = [unknown.unknown for unknown in before.unknowns]
    count = db.execute(
        "SELECT count(*) FROM unknowns WHERE unknown_key IN (SELECT value FROM json_each(?))", (json.dumps(keys),)
    ).get
    return bool(count == len(keys))


def page(db: apsw.Connection, gallery: GalleryName, *, before: int, count: int) -> list[tuple[int, Operation]]:
    """Up to `count` operations with their keys, the newest first, older than the key `before` (0 for the newest)."""
    rows = db.execute(
        _OPERATION + "WHERE gallery_key = ? AND (? = 0 OR operation_key < ?) ORDER BY operation_key DESC LIMIT ?",
        (reads.gallery_key(db, gallery), before, before, count),
    )
    return [(row[0], _row(gallery, row).operation) for row in rows]


def _row(gallery: GalleryName, row: tuple[Any, ...]) -> OperationRow:
    key, kind, principal, at_ns, subjects, undone, before = row
    shown = Operation(
        name=gallery.operation(key),
        kind=OperationKind(kind),
        principal=principal,
        at_ns=at_ns,
        subjects=tuple(f"{gallery}/{subject}" for subject in json.loads(subjects)),
        undone=bool(undone),
    )
    return OperationRow(key, shown, Before.read(before) if before else None)


def faces_before(db: apsw.Connection, unknown_keys: Iterable[int]) -> tuple[FaceBefore, ...]:
    """Where the faces of these groups are."""
    rows = db.execute(
        "SELECT f.sighting_key, f.unknown_key, f.chunklet, coalesce(s.identity_key, 0) "
        "FROM faces f JOIN sightings s USING (sighting_key) "
        "WHERE f.unknown_key IN (SELECT value FROM json_each(?)) ORDER BY f.sighting_key",
        (json.dumps(list(unknown_keys)),),
    )
    return tuple(FaceBefore(*row) for row in rows)


def unknown_before(row: reads.UnknownRow) -> UnknownBefore:
    """What a group is."""
    return UnknownBefore(row.key, row.ignored, row.identity_key or 0)
