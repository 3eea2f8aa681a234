"""What every change of a gallery writes: people, templates, and a line in the change log."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import apsw
import numpy as np

from server.domain import GalleryName, IdentityName, Quality
from server.identity import reads
from server.identity.admission import check_fingerprint
from server.identity.change import GalleryChange
from server.identity.display_name import folded
from server.identity.records import ChangeKind, NewTemplate
from server.identity.roster import Person


@dataclass(frozen=True, slots=True)
class Subject:
    """The person whom a change is about, and the gallery's row before it."""

    name: IdentityName
    gallery_key: int
    revision: int
    fingerprint: str
    identity_key: int


@dataclass(frozen=True, slots=True)
class Pin:
    """A gallery's row."""

    gallery_key: int
    revision: int
    fingerprint: str


def pinned(db: apsw.Connection, gallery: GalleryName, fingerprint: str, at_ns: int) -> Pin:
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
        return Pin(db.last_insert_rowid(), 0, fingerprint)
    check_fingerprint(gallery, row[2], fingerprint)
    return Pin(row[0], row[1], fingerprint)


def subject_of(db: apsw.Connection, name: IdentityName) -> Subject:
    """Somebody who is there.

    Raises:
        NotFoundError: when the person is not there.
    """
    return Subject(name, *reads.subject(db, name))


def new_person(db: apsw.Connection, gallery: GalleryName, pin: Pin, person: tuple[str, int]) -> Subject:
    """A person without templates: a display name, and when."""
    display_name, at_ns = person
    name = IdentityName(gallery, new_id())
    db.execute(
        "INSERT INTO identities (gallery_key, identity_id, display_name, folded_name, created_ns, updated_ns) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (pin.gallery_key, name.identity_id, display_name, folded(display_name), at_ns, at_ns),
    )
    return Subject(name, pin.gallery_key, pin.revision, pin.fingerprint, db.last_insert_rowid())


def new_id() -> str:
    """The end of a resource name that nothing else has: 16 of a-z and 2-7."""
    return base64.b32encode(secrets.token_bytes(10)).decode().lower()


def touch(db: apsw.Connection, subject: Subject, at_ns: int) -> None:
    """Notes when somebody was changed last."""
    db.execute("UPDATE identities SET updated_ns = ? WHERE identity_key = ?", (at_ns, subject.identity_key))


def with_templates(
    db: apsw.Connection, subject: Subject, templates: Sequence[NewTemplate], at_ns: int
) -> GalleryChange:
    """Adds templates to somebody; the change doesn't say yet who that is."""
    added = []
    for template in templates:
        db.execute(
            "INSERT INTO templates "
            "(gallery_key, identity_key, embedding, quality, source, photo_digest, created_ns, coherence) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                subject.gallery_key,
                subject.identity_key,
                template.embedding.astype("<f4", copy=False).tobytes(),
                quality_text(template.quality),
                template.source,
                template.photo_digest,
                at_ns,
                template.coherence,
            ),
        )
        added.append(db.last_insert_rowid())
        if template.crop:
            db.execute("INSERT INTO crops VALUES (?, ?)", (added[-1], template.crop))
    change = logged(db, subject, ChangeKind.ENROLLED, at_ns)
    vectors = np.stack([template.embedding for template in templates])
    coherences = {key: each.coherence for key, each in zip(added, templates, strict=True) if each.coherence < 1}
    return replace(change, added=added, vectors=vectors, coherences=coherences)


def revised(
    db: apsw.Connection, identity_key: int, fingerprint: str, at_ns: int, removed: Sequence[int] = ()
) -> GalleryChange:
    """Takes templates from somebody, and tells anew who the person is not.

    Args:
        db: the connection.
        identity_key: whom it is about.
        fingerprint: of the server's embeddings.
        at_ns: when.
        removed: keys of the templates to take; the person must keep one.
    """
    subject = subject_of(db, reads.name_of(db, identity_key))
    touch(db, subject, at_ns)
    db.executemany("DELETE FROM templates WHERE template_key = ?", [(key,) for key in removed])
    change = logged(db, subject, ChangeKind.REVISED, at_ns)
    return replace(
        change,
        person=Person(subject.name.identity_id, reads.identity(db, subject.name).display_name),
        removed=removed,
        negatives=reads.negatives_of(db, identity_key, fingerprint),
    )


def quality_text(quality: Quality) -> str:
    """A quality as the store keeps it."""
    values = {field.name: getattr(quality, field.name) for field in fields(quality)}
    return json.dumps({name: None if value is None else float(value) for name, value in values.items()})


def logged(db: apsw.Connection, subject: Subject, kind: ChangeKind, at_ns: int) -> GalleryChange:
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
