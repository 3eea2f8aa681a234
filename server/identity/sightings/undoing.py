"""Taking an operation back.

What it moved goes back to where it was. What came by itself since then (new faces that joined, groups that the
clustering put together) stays, except what a split or a naming alone had brought about. A later operation on the same
people stands in the way: it was made by somebody who saw them as they are now.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import apsw

from server.domain import IdentityName, OperationName
from server.errors import ConflictError
from server.identity import reads as gallery_reads
from server.identity import requests
from server.identity.change import GalleryChange, StoreChange
from server.identity.entries import logged, revised, subject_of, with_templates
from server.identity.group_commit import Outcome
from server.identity.records import ChangeKind
from server.identity.roster import GONE, Person
from server.identity.sightings import operations, reads
from server.identity.sightings.clustering import Clusterings, Place, next_face_key, outdate
from server.identity.sightings.naming import template_of
from server.identity.sightings.operations import Before, Entry, FaceBefore, OperationRow
from server.identity.sightings.orders import Order
from server.identity.sightings.records import OperationKind, OperationReceipt, SightingChange


def undo(
    db: apsw.Connection, clusterings: Clusterings, name: OperationName, order: Order
) -> Outcome[OperationReceipt, StoreChange]:
    """Takes an operation back.

    Args:
        db: the connection.
        clusterings: of all galleries.
        name: of the operation; the key 0 stands for the last one that can be undone.
        order: who asks.

    Raises:
        NotFoundError: when it is not there; NOTHING_TO_UNDO.
        ConflictError: UNDONE_ALREADY; NOT_UNDOABLE; UNDO_BLOCKED; as `requests.answered`.
    """
    earlier = requests.answered_as(db, order.request, OperationReceipt)
    if earlier is not None:
        return Outcome(earlier)
    row = operations.operation(db, name) if name.key else operations.last_undoable(db, name.gallery)
    before = _undoable(row)
    _refuse_gone(db, row, before)
    place = Place(name.gallery, reads.gallery_key(db, name.gallery), order.at_ns)
    _refuse_blocked(db, row, before)
    concerned = _sightings_of(db, before)
    _restore_groups(db, before)
    _restore_faces(db, before)
    _restore_links(db, place, before)
    changes = _restore_identity(db, clusterings, place, before)
    _drop_empty(db, place)
    _check_restored(db, clusterings, place)
    db.execute("UPDATE operations SET undone = 1 WHERE operation_key = ?", (row.key,))
    operations.log(db, place, Entry(OperationKind.UNDO, order.principal, (row.operation.name,)))
    revision = db.execute("SELECT revision FROM galleries WHERE gallery_key = ?", (place.gallery_key,)).get
    receipt = OperationReceipt(row.operation.name, revision=revision, payload=order.request.payload)
    requests.keep(db, order.request, place.gallery_key, receipt)
    concerned |= _sightings_of(db, before)
    people = tuple(name for name in row.operation.subjects if "/sightings/" not in name)
    told = SightingChange(place.gallery, place.gallery_key, tuple(sorted(concerned)), people)
    return Outcome(receipt, (*changes, told))


def _undoable(row: OperationRow) -> Before:
    if row.operation.undone:
        raise ConflictError("UNDONE_ALREADY", f"{row.operation.name} was undone before")
    if row.before is None:
        raise ConflictError(
            "NOT_UNDOABLE",
            f"{row.operation.name} has no way back: it deleted something, was an undoing itself, or was about somebody "
            "who was deleted since",
        )
    return row.before


def _refuse_gone(db: apsw.Connection, row: OperationRow, before: Before) -> None:
    if not operations.is_reversible(db, before):
        raise ConflictError(
            "NOT_UNDOABLE", f"{row.operation.name} is about somebody of whom nothing is left; there is no way back"
        )


def _refuse_blocked(db: apsw.Connection, row: OperationRow, before: Before) -> None:
    """Refuses while a later operation has touched whom this one touched, or where their faces are now."""
    keys = json.dumps([face.sighting for face in before.faces])
    blocking = db.execute(
        "SELECT o.operation_key FROM operations o JOIN operation_subjects t USING (operation_key) "
        "WHERE o.operation_key > ?1 AND NOT o.undone AND (t.subject IN "
        "(SELECT subject FROM operation_subjects WHERE operation_key = ?1) OR t.subject IN "
        "(SELECT 'unknown/' || unknown_key FROM faces WHERE sighting_key IN (SELECT value FROM json_each(?2)))) "
        "ORDER BY o.operation_key DESC LIMIT 1",
        (row.key, keys),
    ).get
    if blocking is None:
        return
    gallery = row.operation.name.rpartition("/operations/")[0]
    raise ConflictError(
        "UNDO_BLOCKED",
        f"{gallery}/operations/{blocking} came later and is about the same people; undo that first",
        metadata={"operation": f"{gallery}/operations/{blocking}"},
    )


def _sightings_of(db: apsw.Connection, before: Before) -> set[int]:
    """Sightings of the groups that changed."""
    groups = [*before.started, *(unknown.unknown for unknown in before.unknowns)]
    keys = {key for group in groups for key in reads.sightings_of(db, group)}
    return keys | {face.sighting for face in before.faces}


def _restore_groups(db: apsw.Connection, before: Before) -> None:
    for unknown in before.unknowns:
        db.execute(
            "UPDATE unknowns SET ignored = ?, identity_key = ?, merged_key = NULL WHERE unknown_key = ?",
            (int(unknown.ignored), unknown.identity or None, unknown.unknown),
        )


def _restore_faces(db: apsw.Connection, before: Before) -> None:
    there = {
        key
        for (key,) in db.execute(
            "SELECT unknown_key FROM unknowns WHERE unknown_key IN (SELECT value FROM json_each(?))",
            (json.dumps([face.unknown for face in before.faces]),),
        )
    }
    for face in before.faces:
        if _is_there(db, face.sighting):
            _restore_face(db, face, there)
    if before.started and before.unknowns:
        # Whoever joined a group that a split made did so because of the split.
        home = [(before.unknowns[0].unknown, started) for started in before.started]
        db.executemany("UPDATE faces SET unknown_key = ? WHERE unknown_key = ?", home)
        db.executemany("UPDATE unknowns SET merged_key = ? WHERE merged_key = ?", home)


def _restore_face(db: apsw.Connection, face: FaceBefore, there: set[int]) -> None:
    if face.identity:
        db.execute(
            "UPDATE sightings SET identity_key = (SELECT identity_key FROM identities WHERE identity_key = ?) "
            "WHERE sighting_key = ?",
            (face.identity, face.sighting),
        )
    if not face.unknown:
        db.execute("DELETE FROM faces WHERE sighting_key = ?", (face.sighting,))
    elif face.unknown in there:
        db.execute(
            "UPDATE faces SET unknown_key = ?, chunklet = ? WHERE sighting_key = ?",
            (face.unknown, face.chunklet, face.sighting),
        )


def _restore_links(db: apsw.Connection, place: Place, before: Before) -> None:
    db.executemany(
        "DELETE FROM cannot_links WHERE gallery_key = ? AND first = ? AND second = ?",
        [(place.gallery_key, *pair) for pair in before.linked],
    )
    db.executemany(
        "INSERT OR IGNORE INTO cannot_links VALUES (?, ?, ?)",
        [(place.gallery_key, *pair) for pair in before.unlinked],
    )


def _restore_identity(
    db: apsw.Connection, clusterings: Clusterings, place: Place, before: Before
) -> list[GalleryChange]:
    """Takes templates and negative references back, and a person who has come into being."""
    if not before.identity:
        return []
    key, fingerprint = before.identity, clusterings.fingerprint
    name = gallery_reads.name_of(db, key)
    changes = []
    withdrawn = [seen for seen in before.withdrawn if _is_there(db, seen)]
    if withdrawn:
        changes.append(_promote(db, place, name, withdrawn))
    _deny_again(db, before)
    if before.negative:
        db.execute("DELETE FROM negatives WHERE negative_key = ?", (before.negative,))
    mine = _own_templates(db, before)
    count = db.execute("SELECT count(*) FROM templates WHERE identity_key = ?", (key,)).get
    for unknown in before.unknowns if before.templates or before.created else ():
        _forget_matches(db, key, unknown.unknown)
    if before.created and count == len(mine):
        changes.append(_dismiss(db, place, name, before, mine))
    else:
        changes.append(revised(db, key, fingerprint, place.at_ns, removed=mine))
    return changes


def _is_there(db: apsw.Connection, sighting: int) -> bool:
    return bool(db.execute("SELECT EXISTS (SELECT 1 FROM sightings WHERE sighting_key = ?)", (sighting,)).get)


def _deny_again(db: apsw.Connection, before: Before) -> None:
    db.executemany(
        "INSERT INTO negatives (identity_key, sighting_key, fingerprint, embedding, radius) "
        "SELECT ?, sighting_key, fingerprint, embedding, ? FROM sightings WHERE sighting_key = ?",
        [(before.identity, radius, sighting) for sighting, radius in before.affirmed],
    )


def _own_templates(db: apsw.Connection, before: Before) -> list[int]:
    """Templates that a naming made and that are there, also those that were taken and put back since."""
    if not before.templates:
        return []
    rows = db.execute(
        "SELECT template_key FROM templates WHERE template_key IN (SELECT value FROM json_each(?1)) UNION "
        "SELECT p.template_key FROM promotions p JOIN templates t USING (template_key) "
        "JOIN faces f USING (sighting_key) "
        "WHERE t.identity_key = ?2 AND f.unknown_key IN (SELECT value FROM json_each(?3)) ORDER BY 1",
        (json.dumps(before.templates), before.identity, json.dumps([each.unknown for each in before.unknowns])),
    )
    return [key for (key,) in rows]


def _promote(db: apsw.Connection, place: Place, name: IdentityName, sightings: Sequence[int]) -> GalleryChange:
    subject = subject_of(db, name)
    templates = [template_of(db, sighting) for sighting in sightings]
    change = with_templates(db, subject, templates, place.at_ns)
    db.executemany("INSERT INTO promotions VALUES (?, ?)", list(zip(change.added, sightings, strict=True)))
    shown = gallery_reads.identity(db, name).display_name
    return replace(change, person=Person(name.identity_id, shown))


def _forget_matches(db: apsw.Connection, identity_key: int, unknown_key: int) -> None:
    """Sightings of the group that were matched once it had a name are of the group again."""
    db.execute(
        "UPDATE sightings SET identity_key = NULL WHERE identity_key = ? "
        "AND sighting_key IN (SELECT sighting_key FROM faces WHERE unknown_key = ?)",
        (identity_key, unknown_key),
    )


def _dismiss(
    db: apsw.Connection, place: Place, name: IdentityName, before: Before, templates: list[int]
) -> GalleryChange:
    """Removes a person whom only the naming had made; whoever matched the person did so by the group's faces."""
    subject = subject_of(db, name)
    home = before.unknowns[0].unknown
    rows = db.execute(
        "SELECT sighting_key, score, embedding, coherence FROM sightings WHERE identity_key = ? ORDER BY sighting_key",
        (subject.identity_key,),
    ).fetchall()
    for sighting, score, embedding, coherence in rows:
        db.execute(
            "INSERT OR IGNORE INTO faces (face_key, sighting_key, unknown_key, chunklet, score, embedding, coherence) "
            "VALUES (?, ?, ?, 0, ?, ?, ?)",
            (next_face_key(db), sighting, home, score, embedding, coherence),
        )
    db.execute("UPDATE sightings SET identity_key = NULL WHERE identity_key = ?", (subject.identity_key,))
    db.execute("DELETE FROM identities WHERE identity_key = ?", (subject.identity_key,))
    requests.forget_person(db, place.gallery_key, name.identity_id)
    if not db.execute("SELECT EXISTS (SELECT 1 FROM templates WHERE gallery_key = ?)", (place.gallery_key,)).get:
        subject = replace(subject, fingerprint="")
    change = logged(db, subject, ChangeKind.DELETED, place.at_ns)
    return replace(change, person=GONE, removed=templates)


def _drop_empty(db: apsw.Connection, place: Place) -> None:
    """Removes groups that the operation had brought about and whose faces have gone back."""
    db.execute(
        "DELETE FROM unknowns WHERE gallery_key = ? AND merged_key IS NULL AND identity_key IS NULL "
        "AND NOT EXISTS (SELECT 1 FROM faces f WHERE f.unknown_key = unknowns.unknown_key)",
        (place.gallery_key,),
    )


def _check_restored(db: apsw.Connection, clusterings: Clusterings, place: Place) -> None:
    """Starts the clustering from the store, which tells whether everything there still fits together."""
    outdate(db, place.gallery_key)
    try:
        clusterings.of(db, place.gallery_key)
    except ValueError as error:
        raise ConflictError(
            "UNDO_BLOCKED", f"too much has happened to these people since then to take it back ({error})"
        ) from error
