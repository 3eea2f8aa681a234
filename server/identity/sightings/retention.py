"""What is too old, or too much, to keep: sightings and groups go by age and by number."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import apsw

from server.domain import GalleryName
from server.identity.change import StoreChange
from server.identity.group_commit import Outcome
from server.identity.sightings import reads
from server.identity.sightings.clustering import Clusterings, Place, joined
from server.identity.sightings.records import SightingChange

DAY_NS: Final = 86_400 * 10**9

_MOST_AT_ONCE: Final = 1_000
"""Sightings that one transaction removes, so that no other write waits long."""


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long what is kept. Ages are in nanoseconds since somebody was last seen; 0 keeps for ever.

    Attributes:
        sighting_age_ns: of sightings of whomever.
        stranger_age_ns: of groups that have no name, and of sightings that belong to no group.
        sighting_count: sightings in one gallery; beyond that the oldest go. 0 for no bound.
    """

    sighting_age_ns: int
    stranger_age_ns: int
    sighting_count: int


def expire(
    db: apsw.Connection, clusterings: Clusterings, place: Place, policy: RetentionPolicy
) -> Outcome[int, StoreChange]:
    """Removes the oldest of what is not to be kept.

    Negative references stay: what was said of an enrolled person holds as long as the person is there.

    Returns:
        How many sightings went; when that is some, there may be more to remove.
    """
    groups, people = _overdue_groups(db, place, policy)
    doomed = _overdue_sightings(db, place, policy) | {key for group in groups for key in reads.sightings_of(db, group)}
    if not doomed:
        return Outcome(0)
    changes = [_forget_faces(db, clusterings, place, doomed)]
    db.execute(
        "DELETE FROM sightings WHERE sighting_key IN (SELECT value FROM json_each(?))", (json.dumps(sorted(doomed)),)
    )
    people = tuple(dict.fromkeys((*people, *_dropped_empty(db, place))))
    told = SightingChange(place.gallery, place.gallery_key, people=people, deleted=tuple(sorted(doomed)))
    merged = joined([*changes, told])
    shown = tuple(key for key in merged.sightings if key not in doomed)
    return Outcome(len(doomed), (replace(merged, sightings=shown),))


def _overdue_groups(db: apsw.Connection, place: Place, policy: RetentionPolicy) -> tuple[list[int], tuple[str, ...]]:
    """Groups without a name that were not seen for too long: keys, and the names of those that had a known one."""
    if not policy.stranger_age_ns:
        return [], ()
    rows: list[tuple[Any, ...]] = db.execute(
        "SELECT u.unknown_key, u.unknown_id, u.known FROM unknowns u JOIN faces f USING (unknown_key) "
        "JOIN sightings s USING (sighting_key) WHERE u.gallery_key = ? AND u.identity_key IS NULL "
        "GROUP BY u.unknown_key HAVING max(s.last_ns) < ? ORDER BY max(s.last_ns) LIMIT ?",
        (place.gallery_key, place.at_ns - policy.stranger_age_ns, _MOST_AT_ONCE // 10),
    ).fetchall()
    return [row[0] for row in rows], tuple(place.gallery.unknown(row[1]) for row in rows if row[2])


def _overdue_sightings(db: apsw.Connection, place: Place, policy: RetentionPolicy) -> set[int]:
    doomed: set[int] = set()
    if policy.sighting_age_ns:
        doomed |= _keys(
            db,
            "SELECT sighting_key FROM sightings WHERE gallery_key = ? AND last_ns < ? ORDER BY last_ns LIMIT ?",
            (place.gallery_key, place.at_ns - policy.sighting_age_ns, _MOST_AT_ONCE),
        )
    if policy.stranger_age_ns:
        doomed |= _keys(
            db,
            "SELECT s.sighting_key FROM sightings s LEFT JOIN faces f USING (sighting_key) WHERE s.gallery_key = ? "
            "AND s.last_ns < ? AND s.identity_key IS NULL AND f.face_key IS NULL ORDER BY s.last_ns LIMIT ?",
            (place.gallery_key, place.at_ns - policy.stranger_age_ns, _MOST_AT_ONCE),
        )
    if policy.sighting_count:
        count = db.execute("SELECT count(*) FROM sightings WHERE gallery_key = ?", (place.gallery_key,)).get
        doomed |= _keys(
            db,
            "SELECT sighting_key FROM sightings WHERE gallery_key = ? ORDER BY sighting_key LIMIT ?",
            (place.gallery_key, min(_MOST_AT_ONCE, max(0, count - policy.sighting_count))),
        )
    return doomed


def _keys(db: apsw.Connection, sql: str, values: Sequence[int]) -> set[int]:
    return {key for (key,) in db.execute(sql, values)}


def _forget_faces(
    db: apsw.Connection, clusterings: Clusterings, place: Place, sightings: Iterable[int]
) -> SightingChange:
    """Takes faces out of the clustering; those of named groups are not in it and go with their sightings."""
    faces = [
        key
        for (key,) in db.execute(
            "SELECT face_key FROM faces WHERE sighting_key IN (SELECT value FROM json_each(?))",
            (json.dumps(sorted(sightings)),),
        )
    ]
    plan = clusterings.of(db, place.gallery_key).remove(faces)
    if not plan.changes_anything:
        return SightingChange(place.gallery, place.gallery_key)
    return clusterings.write(db, place, plan)


def _dropped_empty(db: apsw.Connection, place: Place) -> tuple[str, ...]:
    """Removes groups of which no sighting is left and that the clustering doesn't hold; names of those that were known.

    They were named, or their faces are of other models.
    """
    rows: list[tuple[Any, ...]] = db.execute(
        "DELETE FROM unknowns WHERE gallery_key = ? AND merged_key IS NULL "
        "AND NOT EXISTS (SELECT 1 FROM faces f WHERE f.unknown_key = unknowns.unknown_key) RETURNING unknown_id, known",
        (place.gallery_key,),
    ).fetchall()
    return tuple(place.gallery.unknown(unknown_id) for unknown_id, known in rows if known)


def galleries_seen(db: apsw.Connection) -> list[tuple[int, GalleryName]]:
    """Galleries that have sightings, each with its key."""
    return [
        (key, GalleryName(tenant, gallery))
        for key, tenant, gallery in db.execute(
            "SELECT gallery_key, tenant, gallery FROM galleries g "
            "WHERE EXISTS (SELECT 1 FROM sightings s WHERE s.gallery_key = g.gallery_key) ORDER BY gallery_key"
        )
    ]
