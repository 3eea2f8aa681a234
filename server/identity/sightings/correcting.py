"""What admins correct in groups of unknown faces: merge, split, ignore, delete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import apsw

from server.domain import SightingName, UnknownName
from server.errors import ConflictError, FacestreamError, InvalidInputError
from server.identity import requests
from server.identity.change import StoreChange
from server.identity.cluster import Clusters
from server.identity.entries import revised
from server.identity.group_commit import Outcome
from server.identity.sightings import erasing, reads
from server.identity.sightings.clustering import Clusterings, Place, joined, outdate, write_plan
from server.identity.sightings.naming import refuse_named
from server.identity.sightings.operations import Before, Entry, faces_before, log, unknown_before
from server.identity.sightings.orders import Order
from server.identity.sightings.records import (
    OperationKind,
    OperationReceipt,
    SightingChange,
    UnknownDeletionReceipt,
)
from server.identity.sightings.withdrawing import withdrawn
from server.identity.store import owe_rewriting


def merge_unknowns(
    db: apsw.Connection, clusterings: Clusterings, names: Sequence[UnknownName], order: Order
) -> Outcome[OperationReceipt, StoreChange]:
    """Makes groups one.

    Raises:
        NotFoundError: when one is not there.
        InvalidInputError: GROUPS_MISSING, when fewer than two different groups are left of those that were named.
        ConflictError: UNKNOWN_NAMED, OTHER_MODELS; as `requests.answered`.
    """
    earlier = requests.answered_as(db, order.request, OperationReceipt)
    if earlier is not None:
        return Outcome(earlier)
    rows = list({row.key: row for row in (reads.unknown_row(db, name, "names") for name in names)}.values())
    if len(rows) < 2:
        raise InvalidInputError(
            "GROUPS_MISSING", "fewer than two different groups are left to merge; name others", field="names"
        )
    for row in rows:
        refuse_named(db, row)
    place = Place(names[0].gallery, rows[0].gallery_key, order.at_ns)
    clusters = clusterings.of(db, place.gallery_key)
    _check_clustered(clusters, rows)
    faces = faces_before(db, [row.key for row in rows])
    plan = clusters.merge(row.number for row in rows)
    change = clusterings.write(db, place, plan)
    survivor = reads.unknown_row(db, rows[0].name)
    entry = Entry(
        OperationKind.MERGE,
        order.principal,
        (str(survivor.name), *(str(row.name) for row in rows if row.key != survivor.key)),
        [f"unknown/{row.key}" for row in rows],
        Before(
            faces=faces,
            unknowns=tuple(map(unknown_before, rows)),
            linked=plan.linked,
            unlinked=plan.unlinked,
        ),
    )
    receipt = OperationReceipt(str(log(db, place, entry)), str(survivor.name), payload=order.request.payload)
    requests.keep(db, order.request, place.gallery_key, receipt)
    return Outcome(receipt, (change,))


def _check_clustered(clusters: Clusters, rows: Sequence[reads.UnknownRow]) -> None:
    strange = next((row for row in rows if clusters.view(row.number) is None), None)
    if strange is not None:
        raise _other_models(strange)


def _other_models(row: reads.UnknownRow) -> FacestreamError:
    return ConflictError(
        "OTHER_MODELS",
        f"the faces of {row.name} were embedded by other models than this server's and cannot be compared; start the "
        "server with those models, or delete the group",
    )


@dataclass(frozen=True, slots=True)
class Splitting:
    """A group is two people.

    Attributes:
        unknown: the group.
        sightings: those that are somebody else; empty lets the two most distinct halves be found.
    """

    unknown: UnknownName
    sightings: tuple[SightingName, ...]


def split_unknown(
    db: apsw.Connection, clusterings: Clusterings, splitting: Splitting, order: Order
) -> Outcome[OperationReceipt, StoreChange]:
    """Makes a group two. When it has a name, those who leave have none, and leave no template behind.

    Raises:
        NotFoundError: when the group is not there.
        InvalidInputError: SPLIT_INVALID.
        ConflictError: LAST_TEMPLATE, OTHER_MODELS; as `requests.answered`.
    """
    earlier = requests.answered_as(db, order.request, OperationReceipt)
    if earlier is not None:
        return Outcome(earlier)
    row = reads.unknown_row(db, splitting.unknown)
    place = Place(splitting.unknown.gallery, row.gallery_key, order.at_ns)
    clusters = (
        clusterings.of(db, place.gallery_key)
        if row.identity_key is None
        else clusterings.alone(db, place.gallery_key, row.key)
    )
    _check_clustered(clusters, [row])
    before = faces_before(db, [row.key])
    leaving = _face_keys(db, row, splitting.sightings) or list(clusters.halves(row.number))
    plan = clusters.split(row.number, leaving)
    if row.identity_key is None:
        change = clusterings.write(db, place, plan)
    else:
        change = write_plan(db, place, plan)
        outdate(db, place.gallery_key)
    ((other_id, other_key),) = db.execute(
        "SELECT unknown_id, unknown_key FROM unknowns WHERE gallery_key = ? AND number = ?",
        (place.gallery_key, plan.started[0]),
    )
    leavers = reads.sightings_of(db, other_key)
    taken = withdrawn(db, clusterings.fingerprint, row.identity_key, leavers, order.at_ns)
    other = UnknownName(place.gallery, other_id)
    entry = Entry(
        OperationKind.SPLIT,
        order.principal,
        (str(row.name), str(other)),
        [f"unknown/{row.key}", f"unknown/{other_key}"]
        + ([f"identity/{row.identity_key}"] if row.identity_key is not None else []),
        Before(
            faces=before,
            unknowns=(unknown_before(row),),
            started=(other_key,),
            linked=plan.linked,
            unlinked=plan.unlinked,
            identity=row.identity_key or 0,
            withdrawn=taken.sightings,
        ),
    )
    receipt = OperationReceipt(str(log(db, place, entry)), str(row.name), str(other), payload=order.request.payload)
    requests.keep(db, order.request, place.gallery_key, receipt)
    moved = SightingChange(place.gallery, place.gallery_key, leavers, (str(row.name),))
    return Outcome(receipt, (*taken.changes, joined([change, moved])))


def _face_keys(db: apsw.Connection, row: reads.UnknownRow, sightings: Sequence[SightingName]) -> list[int]:
    keys = []
    for number, name in enumerate(sightings):
        key = db.execute(
            "SELECT face_key FROM faces WHERE sighting_key = ? AND unknown_key = ?", (name.key, row.key)
        ).get
        if key is None or name.gallery != row.name.gallery:
            raise InvalidInputError(
                "SPLIT_INVALID",
                f"{name} does not belong to {row.name}; get the group to see which sightings do",
                field=f"sightings[{number}]",
            )
        keys.append(int(key))
    return keys


def ignore_unknown(
    db: apsw.Connection, name: UnknownName, *, ignored: bool, order: Order
) -> Outcome[OperationReceipt, StoreChange]:
    """Hides a group, or shows it again.

    Raises:
        NotFoundError: when it is not there.
        ConflictError: UNKNOWN_NAMED; as `requests.answered`.
    """
    earlier = requests.answered_as(db, order.request, OperationReceipt)
    if earlier is not None:
        return Outcome(earlier)
    row = reads.unknown_row(db, name)
    refuse_named(db, row)
    place = Place(name.gallery, row.gallery_key, order.at_ns)
    db.execute("UPDATE unknowns SET ignored = ? WHERE unknown_key = ?", (int(ignored), row.key))
    entry = Entry(
        OperationKind.IGNORE if ignored else OperationKind.SHOW,
        order.principal,
        (str(row.name),),
        (f"unknown/{row.key}",),
        Before(unknowns=(unknown_before(row),)),
    )
    receipt = OperationReceipt(str(log(db, place, entry)), str(row.name), payload=order.request.payload)
    requests.keep(db, order.request, place.gallery_key, receipt)
    return Outcome(receipt, (SightingChange(place.gallery, place.gallery_key, people=(str(row.name),)),))


def delete_unknown(
    db: apsw.Connection, clusterings: Clusterings, name: UnknownName, order: Order
) -> Outcome[UnknownDeletionReceipt, StoreChange]:
    """Removes a group, its sightings, and what else was kept of them; there is no way back.

    Raises:
        NotFoundError: when it is not there.
        ConflictError: UNKNOWN_NAMED; as `requests.answered`.
    """
    earlier = requests.answered_as(db, order.request, UnknownDeletionReceipt)
    if earlier is not None:
        return Outcome(earlier)
    row = reads.unknown_row(db, name)
    refuse_named(db, row)
    place = Place(name.gallery, row.gallery_key, order.at_ns)
    faces = [key for (key,) in db.execute("SELECT face_key FROM faces WHERE unknown_key = ?", (row.key,))]
    clusterings.apply_only(db, place.gallery_key, clusterings.of(db, place.gallery_key).remove(faces))
    erased = erasing.erase_unknown(db, row.key)
    owe_rewriting(db)
    log(db, place, Entry(OperationKind.DELETE, order.principal, (str(row.name),)))
    receipt = UnknownDeletionReceipt(str(row.name), len(erased.sightings), order.at_ns, order.request.payload)
    requests.keep(db, order.request, place.gallery_key, receipt)
    others = [revised(db, key, clusterings.fingerprint, order.at_ns) for key in erased.others]
    gone = SightingChange(place.gallery, place.gallery_key, people=(str(row.name),), deleted=erased.sightings)
    return Outcome(receipt, (*others, gone), erases=True)
