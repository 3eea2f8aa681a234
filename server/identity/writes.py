"""The changes of a gallery, each a function of a connection inside a transaction."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import apsw
import numpy as np

from server.domain import GalleryName, IdentityName, Quality
from server.identity import reads, requests
from server.identity.admission import check_fingerprint
from server.identity.change import GalleryChange
from server.identity.display_name import folded
from server.identity.group_commit import Outcome
from server.identity.records import (
    BulkReceipt,
    ChangeKind,
    DeletionReceipt,
    EnrolReceipt,
    NewPerson,
    NewTemplate,
    RenameReceipt,
    RequestStamp,
)
from server.identity.roster import GONE, Person
from server.identity.store import owe_rewriting


@dataclass(frozen=True, slots=True)
class Enrolment:
    """An enrolment, checked.

    Attributes:
        gallery: where.
        identity: whose templates these are; None makes a new person.
        display_name: of a new person.
        templates: at least one.
        fingerprint: of the model that made the embeddings.
        request: what makes it repeatable.
        at_ns: when.
    """

    gallery: GalleryName
    identity: IdentityName | None
    display_name: str
    templates: Sequence[NewTemplate]
    fingerprint: str
    request: RequestStamp
    at_ns: int


@dataclass(frozen=True, slots=True)
class _Subject:
    """The person whom a change is about, and the gallery's row before it."""

    name: IdentityName
    gallery_key: int
    revision: int
    fingerprint: str
    identity_key: int


def enrol(db: apsw.Connection, order: Enrolment) -> Outcome[EnrolReceipt, GalleryChange]:
    """Adds a person, or templates to one who is there.

    Raises:
        NotFoundError: when the person is not there.
        FingerprintError: when the gallery holds embeddings of another model.
        ConflictError: when the request id was used before, for something else or somebody deleted since.
    """
    earlier = requests.answered_as(db, order.request, EnrolReceipt)
    if earlier is not None:
        return Outcome(earlier)
    pin = _pinned(db, order.gallery, order.fingerprint, order.at_ns)
    if order.identity is None:
        subject = _new_person(db, order.gallery, pin, (order.display_name, order.at_ns))
    else:
        subject = _subject(db, order.identity)
        _touch(db, subject, order.at_ns)
    change = _with_templates(db, subject, order.templates, order.at_ns)
    receipt = EnrolReceipt(
        identity=reads.identity(db, subject.name),
        template_ids=tuple(map(str, change.added)),
        revision=change.revision,
        payload=order.request.payload,
    )
    requests.keep(db, order.request, subject.gallery_key, receipt)
    person = Person(subject.name.identity_id, receipt.identity.display_name)
    return Outcome(receipt, (replace(change, person=person),))


def enrol_many(
    db: apsw.Connection,
    gallery: GalleryName,
    people: Sequence[NewPerson],
    *,
    fingerprint: str,
    at_ns: int,
) -> Outcome[BulkReceipt, GalleryChange]:
    """Adds new people, all or none.

    Raises:
        FingerprintError: when the gallery holds embeddings of another model.
    """
    names, changes = [], []
    for person in people:
        pin = _pinned(db, gallery, fingerprint, at_ns)
        subject = _new_person(db, gallery, pin, (person.display_name, at_ns))
        change = _with_templates(db, subject, person.templates, at_ns)
        shown = Person(subject.name.identity_id, person.display_name)
        changes.append(replace(change, person=shown))
        names.append(str(subject.name))
    return Outcome(BulkReceipt(tuple(names), changes[-1].revision), changes)


def rename(
    db: apsw.Connection,
    name: IdentityName,
    display_name: str,
    *,
    request: RequestStamp,
    at_ns: int,
) -> Outcome[RenameReceipt, GalleryChange]:
    """Gives a person another display name.

    Raises:
        NotFoundError: when the person is not there.
        ConflictError: as `enrol`.
    """
    earlier = requests.answered_as(db, request, RenameReceipt)
    if earlier is not None:
        return Outcome(earlier)
    subject = _subject(db, name)
    _touch(db, subject, at_ns)
    db.execute(
        "UPDATE identities SET display_name = ?, folded_name = ? WHERE identity_key = ?",
        (display_name, folded(display_name), subject.identity_key),
    )
    change = _logged(db, subject, ChangeKind.RENAMED, at_ns)
    receipt = RenameReceipt(reads.identity(db, name), change.revision, request.payload)
    requests.keep(db, request, subject.gallery_key, receipt)
    return Outcome(receipt, (replace(change, person=Person(name.identity_id, display_name)),))


def delete(
    db: apsw.Connection, name: IdentityName, *, request: RequestStamp, at_ns: int
) -> Outcome[DeletionReceipt, GalleryChange]:
    """Removes a person, the person's templates and crops, and what answers of earlier requests say of the person.

    Raises:
        NotFoundError: when the person is not there.
        ConflictError: as `enrol`.
    """
    earlier = requests.answered_as(db, request, DeletionReceipt)
    if earlier is not None:
        return Outcome(earlier)
    subject = _subject(db, name)
    removed = [
        key
        for (key,) in db.execute(
            "SELECT template_key FROM templates WHERE identity_key = ? ORDER BY template_key",
            (subject.identity_key,),
        )
    ]
    db.execute("DELETE FROM identities WHERE identity_key = ?", (subject.identity_key,))
    requests.forget_person(db, subject.gallery_key, name.identity_id)
    if not db.execute("SELECT EXISTS (SELECT 1 FROM templates WHERE gallery_key = ?)", (subject.gallery_key,)).get:
        subject = replace(subject, fingerprint="")
    owe_rewriting(db)
    change = _logged(db, subject, ChangeKind.DELETED, at_ns)
    receipt = DeletionReceipt(str(name), len(removed), at_ns, change.revision, request.payload)
    db.execute(
        "INSERT INTO deletions VALUES (?, ?, ?, ?, ?)",
        (subject.gallery_key, name.identity_id, len(removed), change.revision, at_ns),
    )
    requests.keep(db, request, subject.gallery_key, receipt)
    return Outcome(receipt, (replace(change, person=GONE, removed=removed),), erases=True)


@dataclass(frozen=True, slots=True)
class _Pin:
    gallery_key: int
    revision: int
    fingerprint: str


def _pinned(db: apsw.Connection, gallery: GalleryName, fingerprint: str, at_ns: int) -> _Pin:
    """The gallery's row, made when it isn't there, for embeddings of this fingerprint."""
    row = db.execute(
        "SELECT gallery_key, revision, fingerprint FROM galleries WHERE tenant = ? AND gallery = ?",
        (gallery.tenant, gallery.gallery),
    ).fetchone()
    if row is None:
        db.execute(
            "INSERT INTO galleries (tenant, gallery, revision, fingerprint, created_ns) VALUES (?, ?, 0, '', ?)",
            (gallery.tenant, gallery.gallery, at_ns),
        )
        return _Pin(db.last_insert_rowid(), 0, fingerprint)
    check_fingerprint(gallery, row[2], fingerprint)
    return _Pin(row[0], row[1], fingerprint)


def _subject(db: apsw.Connection, name: IdentityName) -> _Subject:
    return _Subject(name, *reads.subject(db, name))


def _new_person(db: apsw.Connection, gallery: GalleryName, pin: _Pin, person: tuple[str, int]) -> _Subject:
    display_name, at_ns = person
    name = IdentityName(gallery, base64.b32encode(secrets.token_bytes(10)).decode().lower())
    db.execute(
        "INSERT INTO identities (gallery_key, identity_id, display_name, folded_name, created_ns, updated_ns) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (pin.gallery_key, name.identity_id, display_name, folded(display_name), at_ns, at_ns),
    )
    return _Subject(name, pin.gallery_key, pin.revision, pin.fingerprint, db.last_insert_rowid())


def _touch(db: apsw.Connection, subject: _Subject, at_ns: int) -> None:
    db.execute("UPDATE identities SET updated_ns = ? WHERE identity_key = ?", (at_ns, subject.identity_key))


def _with_templates(
    db: apsw.Connection, subject: _Subject, templates: Sequence[NewTemplate], at_ns: int
) -> GalleryChange:
    added = []
    for template in templates:
        db.execute(
            "INSERT INTO templates "
            "(gallery_key, identity_key, embedding, quality, source, photo_digest, created_ns) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                subject.gallery_key,
                subject.identity_key,
                template.embedding.astype("<f4", copy=False).tobytes(),
                _quality_text(template.quality),
                template.source,
                template.photo_digest,
                at_ns,
            ),
        )
        added.append(db.last_insert_rowid())
        if template.crop:
            db.execute("INSERT INTO crops VALUES (?, ?)", (added[-1], template.crop))
    change = _logged(db, subject, ChangeKind.ENROLLED, at_ns)
    vectors = np.stack([template.embedding for template in templates])
    return replace(change, added=added, vectors=vectors)


def _quality_text(quality: Quality) -> str:
    return json.dumps({field.name: float(getattr(quality, field.name)) for field in fields(quality)})


def _logged(db: apsw.Connection, subject: _Subject, kind: ChangeKind, at_ns: int) -> GalleryChange:
    """Counts the change and writes it down."""
    revision, stamp = subject.revision + 1, secrets.randbits(62)
    db.execute(
        "UPDATE galleries SET revision = ?, fingerprint = ? WHERE gallery_key = ?",
        (revision, subject.fingerprint, subject.gallery_key),
    )
    db.execute(
        "INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?)",
        (subject.gallery_key, revision, kind.value, subject.name.identity_id, stamp, at_ns),
    )
    return GalleryChange(
        gallery=subject.name.gallery,
        gallery_key=subject.gallery_key,
        revision=revision,
        stamp=stamp,
        fingerprint=subject.fingerprint,
        identity_key=subject.identity_key,
    )
