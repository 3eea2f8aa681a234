"""Saying who a group of unknown faces is: its best faces become templates, and its sightings show the name."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import apsw
import numpy as np

from server.domain import IdentityName, Quality, UnknownName
from server.errors import ConflictError, InvalidInputError
from server.identity import reads as gallery_reads
from server.identity import requests
from server.identity.change import GalleryChange, StoreChange
from server.identity.entries import Subject, logged, new_person, pinned, subject_of, touch, with_templates
from server.identity.group_commit import Outcome
from server.identity.records import ChangeKind, NewTemplate
from server.identity.roster import Person
from server.identity.sightings import reads
from server.identity.sightings.clustering import Clusterings, Place
from server.identity.sightings.operations import Before, Entry, log, unknown_before
from server.identity.sightings.orders import Order
from server.identity.sightings.promoting import promoted
from server.identity.sightings.records import OperationKind, OperationReceipt, SightingChange

_MOST_LOOKED_AT = 256
"""Faces of a group, the best ones, among which templates are chosen."""


@dataclass(frozen=True, slots=True)
class Naming:
    """Who a group is, checked.

    Attributes:
        unknown: the group.
        identity: who it is; None makes a new identity.
        display_name: of a new identity.
        fit: whether a face is good enough to become a template.
    """

    unknown: UnknownName
    identity: IdentityName | None
    display_name: str
    fit: Callable[[Quality], bool]


def name_unknown(
    db: apsw.Connection, clusterings: Clusterings, naming: Naming, order: Order
) -> Outcome[OperationReceipt, StoreChange]:
    """Names a group.

    Raises:
        NotFoundError: when the group or the identity is not there.
        InvalidInputError: IDENTITY_ELSEWHERE.
        ConflictError: UNKNOWN_NAMED; NO_USABLE_FACE, when a new identity would have no template because every face is
            of another model; as `requests.answered`.
    """
    earlier = requests.answered_as(db, order.request, OperationReceipt)
    if earlier is not None:
        return Outcome(earlier)
    row = reads.unknown_row(db, naming.unknown)
    refuse_named(db, row)
    place = Place(naming.unknown.gallery, row.gallery_key, order.at_ns)
    sightings, templates = _templates(db, row.key, clusterings.fingerprint, naming)
    subject = _subject(db, clusterings, naming, place, found=bool(templates))
    affirmed = _affirm(db, subject.identity_key, row.key)
    change = _enrolled(db, subject, sightings, templates, order.at_ns)
    if affirmed:
        change = replace(
            change, negatives=gallery_reads.negatives_of(db, subject.identity_key, clusterings.fingerprint)
        )
    before = Before(
        unknowns=(unknown_before(row),),
        identity=subject.identity_key,
        created=naming.identity is None,
        templates=tuple(change.added),
        affirmed=affirmed,
    )
    _leave_clustering(db, clusterings, row)
    db.execute(
        "UPDATE unknowns SET identity_key = ?, ignored = 0 WHERE unknown_key = ?", (subject.identity_key, row.key)
    )
    operation = log(
        db,
        place,
        Entry(
            OperationKind.NAME,
            order.principal,
            (str(row.name), str(subject.name)),
            (f"unknown/{row.key}", f"identity/{subject.identity_key}"),
            before,
        ),
    )
    receipt = OperationReceipt(
        operation=str(operation),
        unknown=str(row.name),
        identity=str(subject.name),
        template_count=len(templates),
        revision=change.revision,
        payload=order.request.payload,
    )
    requests.keep(db, order.request, row.gallery_key, receipt)
    return Outcome(receipt, (change, SightingChange(place.gallery, row.gallery_key, people=(str(row.name),))))


def refuse_named(db: apsw.Connection, row: reads.UnknownRow) -> None:
    """Refuses what only a group without a name can undergo.

    Raises:
        ConflictError: UNKNOWN_NAMED.
    """
    if row.identity_key is None:
        return
    name = gallery_reads.name_of(db, row.identity_key)
    raise ConflictError(
        "UNKNOWN_NAMED",
        f"{row.name} was named as {name}; undo that, reject single sightings of it, or change the identity",
        metadata={"identity": str(name)},
    )


def _templates(
    db: apsw.Connection, unknown_key: int, fingerprint: str, naming: Naming
) -> tuple[list[int], list[NewTemplate]]:
    """The faces to recognise the person by, with their sightings.

    Somebody new who was only ever seen from far away is recognised by the best look there is: the admin who looked at
    it said who that is, and it is the mean of a track. `gallery check` reports it as a weak reference.
    """
    rows: list[tuple[Any, ...]] = db.execute(
        "SELECT s.sighting_key, s.embedding, s.quality FROM faces f JOIN sightings s USING (sighting_key) "
        "WHERE f.unknown_key = ? AND s.fingerprint = ? ORDER BY s.score DESC, s.sighting_key LIMIT ?",
        (unknown_key, fingerprint, _MOST_LOOKED_AT),
    ).fetchall()
    qualities = [Quality(**json.loads(quality)) for _, _, quality in rows]
    vectors = np.frombuffer(b"".join(embedding for _, embedding, _ in rows), "<f4").reshape(
        len(rows), -1 if rows else 0
    )
    chosen = promoted(vectors, qualities, naming.fit)
    if not chosen and naming.identity is None:
        chosen = list(range(len(rows)))[:1]
    keys = [rows[i][0] for i in chosen]
    return keys, [template_of(db, rows[i][0]) for i in chosen]


def template_of(db: apsw.Connection, sighting_key: int) -> NewTemplate:
    """A sighting's face as a template."""
    ((embedding, coherence, quality),) = db.execute(
        "SELECT embedding, coherence, quality FROM sightings WHERE sighting_key = ?", (sighting_key,)
    )
    return NewTemplate(
        embedding=np.frombuffer(embedding, "<f4"),
        quality=Quality(**json.loads(quality)),
        source=f"sighting {sighting_key}",
        crop=reads.crop(db, sighting_key),
        coherence=coherence,
    )


def _subject(db: apsw.Connection, clusterings: Clusterings, naming: Naming, place: Place, *, found: bool) -> Subject:
    if naming.identity is not None:
        if naming.identity.gallery != place.gallery:
            raise InvalidInputError(
                "IDENTITY_ELSEWHERE", f"{naming.identity} is not of {place.gallery}", field="identity"
            )
        subject = subject_of(db, naming.identity)
        touch(db, subject, place.at_ns)
        return subject
    if not found:
        raise ConflictError(
            "NO_USABLE_FACE",
            f"every face of {naming.unknown} was embedded by other models than the server's, so that nobody would be "
            "recognised by it; wait until the person comes again, or name it as somebody who is enrolled",
        )
    pin = pinned(db, place.gallery, clusterings.fingerprint, place.at_ns)
    return new_person(db, place.gallery, pin, (naming.display_name, place.at_ns))


def _affirm(db: apsw.Connection, identity_key: int, unknown_key: int) -> tuple[tuple[int, float], ...]:
    """Forgets what was denied of these very sightings before: the last word counts."""
    affirmed: list[tuple[Any, ...]] = db.execute(
        "SELECT sighting_key, radius FROM negatives WHERE identity_key = ?1 "
        "AND sighting_key IN (SELECT sighting_key FROM faces WHERE unknown_key = ?2) ORDER BY sighting_key",
        (identity_key, unknown_key),
    ).fetchall()
    db.execute(
        "DELETE FROM negatives WHERE identity_key = ?1 "
        "AND sighting_key IN (SELECT sighting_key FROM faces WHERE unknown_key = ?2)",
        (identity_key, unknown_key),
    )
    return tuple((sighting, radius) for sighting, radius in affirmed)


def _enrolled(
    db: apsw.Connection, subject: Subject, sightings: Sequence[int], templates: Sequence[NewTemplate], at_ns: int
) -> GalleryChange:
    if templates:
        change = with_templates(db, subject, templates, at_ns)
        db.executemany("INSERT INTO promotions VALUES (?, ?)", list(zip(change.added, sightings, strict=True)))
    else:
        change = logged(db, subject, ChangeKind.REVISED, at_ns)
    shown = gallery_reads.identity(db, subject.name).display_name
    return replace(change, person=Person(subject.name.identity_id, shown))


def _leave_clustering(db: apsw.Connection, clusterings: Clusterings, row: reads.UnknownRow) -> None:
    faces = [key for (key,) in db.execute("SELECT face_key FROM faces WHERE unknown_key = ?", (row.key,))]
    plan = clusterings.of(db, row.gallery_key).remove(faces)
    clusterings.apply_only(db, row.gallery_key, plan)
