"""Denying a match: "this is not X", for this face and for those like it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import apsw
import numpy as np

from server.domain import SightingName, UnknownName
from server.errors import ConflictError
from server.identity import reads as gallery_reads
from server.identity import requests
from server.identity.change import StoreChange
from server.identity.entries import revised
from server.identity.group_commit import Outcome
from server.identity.regrouping import UnknownFace
from server.identity.sightings import reads
from server.identity.sightings.clustering import Clusterings, Place, joined, next_face_key, outdate, write_plan
from server.identity.sightings.operations import Before, Entry, FaceBefore, faces_before, log, unknown_before
from server.identity.sightings.orders import Order
from server.identity.sightings.records import OperationKind, OperationReceipt, SightingChange
from server.identity.sightings.withdrawing import withdrawn

_LEAST_RADIUS: Final = 0.05
"""Squared L2: however strict the threshold was, another look at the very face is still the same face."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """A sighting's row, and whom it shows."""

    key: int
    identity_key: int
    match_key: int
    unknown: reads.UnknownRow | None


def reject_match(
    db: apsw.Connection, clusterings: Clusterings, name: SightingName, order: Order
) -> Outcome[OperationReceipt, StoreChange]:
    """Denies that a sighting shows whom it is said to show. The face goes back to the unknowns.

    Raises:
        NotFoundError: when the sighting is not there.
        ConflictError: NOT_IDENTIFIED, when it shows nobody who is enrolled; LAST_FACE, when it is the only one of a
            group that was named; LAST_TEMPLATE; OTHER_MODELS; as `requests.answered`.
    """
    earlier = requests.answered_as(db, order.request, OperationReceipt)
    if earlier is not None:
        return Outcome(earlier)
    shown = _shown(db, name)
    identity = gallery_reads.name_of(db, shown.identity_key)
    place = Place(name.gallery, reads.gallery_key(db, name.gallery), order.at_ns)
    taken = withdrawn(db, clusterings.fingerprint, shown.identity_key, [shown.key], order.at_ns)
    negative = _deny(db, shown)
    denial = revised(db, shown.identity_key, clusterings.fingerprint, order.at_ns)
    before, moved = _back(db, clusterings, shown, place)
    touched = [f"identity/{shown.identity_key}", f"sighting/{shown.key}"]
    touched += [f"unknown/{unknown.unknown}" for unknown in before.unknowns]
    entry = Entry(
        OperationKind.REJECT,
        order.principal,
        (str(name), str(identity)),
        touched + [f"unknown/{key}" for key in before.started],
        Before(
            faces=before.faces,
            linked=before.linked,
            unlinked=before.unlinked,
            identity=shown.identity_key,
            withdrawn=taken.sightings,
            negative=negative,
        ),
    )
    receipt = OperationReceipt(
        operation=str(log(db, place, entry)),
        identity=str(identity),
        sighting=str(name),
        revision=denial.revision,
        payload=order.request.payload,
    )
    requests.keep(db, order.request, place.gallery_key, receipt)
    told = SightingChange(place.gallery, place.gallery_key, (shown.key,))
    return Outcome(receipt, (*taken.changes, denial, joined([told, *moved])))


def _shown(db: apsw.Connection, name: SightingName) -> _Shown:
    found = reads.sighting(db, name)
    if not found.person.identity:
        raise ConflictError(
            "NOT_IDENTIFIED", f"{name} shows nobody who is enrolled; split its group if it is in the wrong one"
        )
    ((match_key, unknown_id, named_key),) = db.execute(
        "SELECT s.identity_key, u.unknown_id, u.identity_key FROM sightings s LEFT JOIN faces f USING (sighting_key) "
        "LEFT JOIN unknowns u USING (unknown_key) WHERE s.sighting_key = ?",
        (found.key,),
    )
    unknown = reads.unknown_row(db, UnknownName(name.gallery, unknown_id)) if unknown_id else None
    return _Shown(found.key, match_key or named_key, match_key or 0, unknown)


def _deny(db: apsw.Connection, shown: _Shown) -> int:
    db.execute(
        "INSERT INTO negatives (identity_key, sighting_key, fingerprint, embedding, radius) "
        "SELECT ?, sighting_key, fingerprint, embedding, max(threshold, ?) FROM sightings WHERE sighting_key = ?",
        (shown.identity_key, _LEAST_RADIUS, shown.key),
    )
    return db.last_insert_rowid()


def _back(
    db: apsw.Connection, clusterings: Clusterings, shown: _Shown, place: Place
) -> tuple[Before, list[SightingChange]]:
    """Puts the face among the unknown ones: out of the group that was named, or where a new face would go."""
    if shown.unknown is None:
        before = Before(faces=(FaceBefore(shown.key, 0, 0, shown.match_key),))
        return before, _placed(db, clusterings, shown, place)
    clusters = clusterings.alone(db, place.gallery_key, shown.unknown.key)
    view = clusters.view(shown.unknown.number)
    face = db.execute("SELECT face_key FROM faces WHERE sighting_key = ?", (shown.key,)).get
    if view is None or face not in view.faces:
        raise ConflictError(
            "OTHER_MODELS", f"the face of sighting {shown.key} was embedded by other models than this server's"
        )
    if len(view.faces) == 1:
        raise ConflictError(
            "LAST_FACE",
            f"it is the only sighting left of {shown.unknown.name}, which was named as this person; undo the naming",
        )
    faces = faces_before(db, [shown.unknown.key])
    plan = clusters.expel(face)
    change = write_plan(db, place, plan)
    outdate(db, place.gallery_key)
    started = db.execute(
        "SELECT unknown_key FROM unknowns WHERE gallery_key = ? AND number = ?", (place.gallery_key, plan.started[0])
    ).get
    match = {row.sighting: row.identity for row in faces} | {shown.key: shown.match_key}
    before = Before(
        faces=tuple(FaceBefore(row.sighting, row.unknown, row.chunklet, match[row.sighting]) for row in faces),
        unknowns=(unknown_before(shown.unknown),),
        started=(started,),
        linked=plan.linked,
        unlinked=plan.unlinked,
    )
    return before, [change]


def _placed(db: apsw.Connection, clusterings: Clusterings, shown: _Shown, place: Place) -> list[SightingChange]:
    ((embedding, score, coherence, fingerprint),) = db.execute(
        "SELECT embedding, score, coherence, fingerprint FROM sightings WHERE sighting_key = ?", (shown.key,)
    )
    if fingerprint != clusterings.fingerprint:
        return []
    face = UnknownFace(next_face_key(db), np.frombuffer(embedding, "<f4"), score, coherence)
    placement = clusterings.of(db, place.gallery_key).place(face)
    if not placement.regrouping.changes_anything:
        return []
    return [clusterings.write(db, place, placement.regrouping, {face.key: shown.key})]
