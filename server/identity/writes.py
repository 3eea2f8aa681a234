"""The changes of a gallery, each a function of a connection inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import apsw

from server.domain import GalleryName, IdentityName
from server.identity import reads, requests
from server.identity.change import GalleryChange, StoreChange
from server.identity.display_name import folded
from server.identity.entries import logged, new_person, pinned, revised, subject_of, touch, with_templates
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
from server.identity.sightings import erasing
from server.identity.sightings.records import SightingChange
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
    pin = pinned(db, order.gallery, order.fingerprint, order.at_ns)
    if order.identity is None:
        subject = new_person(db, order.gallery, pin, (order.display_name, order.at_ns))
    else:
        subject = subject_of(db, order.identity)
        touch(db, subject, order.at_ns)
    change = with_templates(db, subject, order.templates, order.at_ns)
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
        pin = pinned(db, gallery, fingerprint, at_ns)
        subject = new_person(db, gallery, pin, (person.display_name, at_ns))
        change = with_templates(db, subject, person.templates, at_ns)
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
) -> Outcome[RenameReceipt, StoreChange]:
    """Gives a person another display name.

    Raises:
        NotFoundError: when the person is not there.
        ConflictError: as `enrol`.
    """
    earlier = requests.answered_as(db, request, RenameReceipt)
    if earlier is not None:
        return Outcome(earlier)
    subject = subject_of(db, name)
    touch(db, subject, at_ns)
    db.execute(
        "UPDATE identities SET display_name = ?, folded_name = ? WHERE identity_key = ?",
        (display_name, folded(display_name), subject.identity_key),
    )
    change = logged(db, subject, ChangeKind.RENAMED, at_ns)
    receipt = RenameReceipt(reads.identity(db, name), change.revision, request.payload)
    requests.keep(db, request, subject.gallery_key, receipt)
    told = SightingChange(name.gallery, subject.gallery_key, people=(str(name),))
    return Outcome(receipt, (replace(change, person=Person(name.identity_id, display_name)), told))


def delete(
    db: apsw.Connection, name: IdentityName, *, request: RequestStamp, at_ns: int
) -> Outcome[DeletionReceipt, StoreChange]:
    """Removes a person, the person's templates, crops and sightings, and what answers of earlier requests tell.

    Not left either: unknown groups that had the person's name, and negative references made of the person's face.

    Raises:
        NotFoundError: when the person is not there.
        ConflictError: as `enrol`.
    """
    earlier = requests.answered_as(db, request, DeletionReceipt)
    if earlier is not None:
        return Outcome(earlier)
    subject = subject_of(db, name)
    removed = [
        key
        for (key,) in db.execute(
            "SELECT template_key FROM templates WHERE identity_key = ? ORDER BY template_key",
            (subject.identity_key,),
        )
    ]
    traces = erasing.erase_person(db, subject.identity_key)
    db.execute("DELETE FROM identities WHERE identity_key = ?", (subject.identity_key,))
    requests.forget_person(db, subject.gallery_key, name.identity_id)
    if not db.execute("SELECT EXISTS (SELECT 1 FROM templates WHERE gallery_key = ?)", (subject.gallery_key,)).get:
        subject = replace(subject, fingerprint="")
    owe_rewriting(db)
    change = logged(db, subject, ChangeKind.DELETED, at_ns)
    receipt = DeletionReceipt(
        str(name), len(removed), at_ns, change.revision, request.payload, sighting_count=len(traces.sightings)
    )
    db.execute(
        "INSERT INTO deletions VALUES (?, ?, ?, ?, ?)",
        (subject.gallery_key, name.identity_id, len(removed), change.revision, at_ns),
    )
    requests.keep(db, request, subject.gallery_key, receipt)
    gone = replace(change, person=GONE, removed=removed)
    others = [revised(db, key, subject.fingerprint, at_ns) for key in traces.others]
    told = SightingChange(name.gallery, subject.gallery_key, people=(str(name),), deleted=traces.sightings)
    return Outcome(receipt, (gone, *others, told), erases=True)
