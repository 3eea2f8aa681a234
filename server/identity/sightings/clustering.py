"""The clustering of each gallery: kept in memory, written to the store, and made anew from it when the two differ.

The store is the truth. Its clustering gets another random version with every write; a transaction that was rolled back,
for whatever reason, leaves another version in the store than in memory, and the next write starts from the store again.
(Numbers that are counted would meet again: memory is one ahead after a rollback, and so is the store after a write that
memory does not take part in.) For the writing thread alone, but for `seen`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import apsw
import numpy as np

from server.domain import Embedding, GalleryName
from server.identity.cluster import Clusters
from server.identity.cluster_settings import ClusterSettings
from server.identity.entries import new_id
from server.identity.regrouping import ClusterRows, FaceRow, GroupRow, Regrouping, UnknownFace
from server.identity.sightings.records import SightingChange

_VERSION_BITS: Final = 62
"""SQLite's integers have 64, with a sign."""


@dataclass(frozen=True, slots=True)
class Place:
    """A gallery as operations on its groups need it: its name, the store's key of it, and when they happen."""

    gallery: GalleryName
    gallery_key: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class _Known:
    clusters: Clusters
    version: int


class Clusterings:
    """The clusterings of all galleries.

    Attributes:
        fingerprint: of the server's embeddings; faces of other models stay in the store and out of the clustering.
    """

    def __init__(self, settings: ClusterSettings, *, fingerprint: str, dimension: int) -> None:
        self.fingerprint = fingerprint
        self._settings = settings
        self._dimension = dimension
        self._known: dict[int, _Known] = {}

    def of(self, db: apsw.Connection, gallery_key: int) -> Clusters:
        """A gallery's clustering as the store has it now."""
        version = _version(db, gallery_key)
        known = self._known.get(gallery_key)
        if known is None or known.version != version:
            known = _Known(self._restored(cluster_rows(db, gallery_key, self.fingerprint)), version)
            self._known[gallery_key] = known
        return known.clusters

    def alone(self, db: apsw.Connection, gallery_key: int, unknown_key: int) -> Clusters:
        """A clustering of one group alone, named or not; plans of it are written and not applied."""
        return self._restored(cluster_rows(db, gallery_key, self.fingerprint, only=unknown_key))

    def _restored(self, rows: ClusterRows) -> Clusters:
        return Clusters.restored(rows, self._settings, self._dimension)

    def write(
        self,
        db: apsw.Connection,
        place: Place,
        plan: Regrouping,
        sightings: Mapping[int, int] = MappingProxyType({}),
    ) -> SightingChange:
        """Writes and applies a plan that was made by the gallery's clustering.

        Args:
            db: the connection.
            place: where.
            plan: the plan.
            sightings: the sighting of each face that is added.

        Returns:
            Whom it concerns.
        """
        clusters = self.of(db, place.gallery_key)
        change = write_plan(db, place, plan, sightings)
        clusters.apply(plan)
        self._known[place.gallery_key] = _Known(clusters, outdate(db, place.gallery_key))
        return change

    def apply_only(self, db: apsw.Connection, gallery_key: int, plan: Regrouping) -> None:
        """Applies a plan whose effect on the store the caller writes by other means."""
        clusters = self.of(db, gallery_key)
        clusters.apply(plan)
        self._known[gallery_key] = _Known(clusters, outdate(db, gallery_key))

    def seen(self, gallery_key: int) -> Clusters | None:
        """A gallery's clustering as it was last, for its methods that any thread may call; None before it was used."""
        known = self._known.get(gallery_key)
        return known.clusters if known else None


def _version(db: apsw.Connection, gallery_key: int) -> int:
    found = db.execute("SELECT version FROM clusterings WHERE gallery_key = ?", (gallery_key,)).get
    if found is None:
        db.execute("INSERT INTO clusterings VALUES (?, 1, 1, 1)", (gallery_key,))
        return 1
    return int(found)


def outdate(db: apsw.Connection, gallery_key: int) -> int:
    """Notes a change of the groups and faces; whoever has not applied it will start from the store again.

    Returns:
        The new version.
    """
    _version(db, gallery_key)
    version = secrets.randbits(_VERSION_BITS)
    db.execute("UPDATE clusterings SET version = ? WHERE gallery_key = ?", (version, gallery_key))
    return version


def next_face_key(db: apsw.Connection) -> int:
    """The key that the next face gets."""
    return int(db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'faces'").get or 0) + 1


_FACES: Final = (
    "SELECT f.face_key, f.embedding, f.score, f.coherence, u.number, f.chunklet "
    "FROM faces f JOIN sightings s USING (sighting_key) JOIN unknowns u USING (unknown_key) "
    "WHERE u.gallery_key = ? AND s.fingerprint = ? AND "
)


def cluster_rows(db: apsw.Connection, gallery_key: int, fingerprint: str, *, only: int = 0) -> ClusterRows:
    """What the store says of a gallery's unknown faces; those of groups that were named are not among them.

    Args:
        db: the connection.
        gallery_key: of the gallery.
        fingerprint: of the embeddings.
        only: the key of the one group that is wanted, named or not; 0 for all that are not named.
    """
    which, value = ("u.unknown_key = ?", only) if only else ("u.identity_key IS NULL AND ? = 0", 0)
    faces = tuple(
        FaceRow(UnknownFace(key, np.frombuffer(embedding, "<f4"), score, coherence), number, chunklet)
        for key, embedding, score, coherence, number, chunklet in db.execute(
            f"{_FACES}{which} ORDER BY f.face_key", (gallery_key, fingerprint, value)
        )
    )
    numbers = {row.group for row in faces}
    chunklets = {row.chunklet for row in faces}
    groups = tuple(
        GroupRow(number, bool(known))
        for number, known in db.execute(
            "SELECT number, known FROM unknowns WHERE gallery_key = ? ORDER BY number", (gallery_key,)
        )
        if number in numbers
    )
    links = tuple(
        (first, second)
        for first, second in db.execute(
            "SELECT first, second FROM cannot_links WHERE gallery_key = ? ORDER BY first, second", (gallery_key,)
        )
        if first in chunklets and second in chunklets
    )
    _version(db, gallery_key)
    ((next_group, next_chunklet),) = db.execute(
        "SELECT next_group, next_chunklet FROM clusterings WHERE gallery_key = ?", (gallery_key,)
    )
    return ClusterRows(faces, groups, links, next_group, next_chunklet)


# Plans


def write_plan(
    db: apsw.Connection,
    place: Place,
    plan: Regrouping,
    sightings: Mapping[int, int] = MappingProxyType({}),
) -> SightingChange:
    """Writes a plan.

    Returns:
        Whom it concerns. Sightings of a group that another one took in are not listed one by one.
    """
    key = place.gallery_key
    _start(db, place, plan.started)
    ended = {number for number, _ in plan.ended}
    unknown_keys = _unknown_keys(db, key, {number for _, number in plan.moved} | ended | {t for _, t in plan.ended})
    concerned = _moving(db, plan, ended)
    old_chunklets = _chunklets(db, plan)
    _add(db, plan, unknown_keys, sightings)
    added = {face.key for face in plan.added}
    db.executemany(
        "UPDATE faces SET unknown_key = ? WHERE face_key = ?",
        [(unknown_keys[number], face) for face, number in plan.moved if face not in added],
    )
    db.executemany("UPDATE faces SET chunklet = ? WHERE face_key = ?", [(c, face) for face, c in plan.bound])
    db.executemany("DELETE FROM faces WHERE face_key = ?", [(face,) for face in plan.removed])
    _link(db, key, plan, old_chunklets)
    for number in plan.promoted:
        db.execute("UPDATE unknowns SET known = 1 WHERE gallery_key = ? AND number = ?", (key, number))
        concerned |= _of_group(db, key, number)
    people = [_end(db, place, unknown_keys[number], unknown_keys.get(target)) for number, target in plan.ended]
    _count(db, key, plan)
    concerned |= {sightings[face] for face in added}
    return SightingChange(place.gallery, key, tuple(sorted(concerned)), tuple(filter(None, people)))


def _start(db: apsw.Connection, place: Place, numbers: Iterable[int]) -> None:
    db.executemany(
        "INSERT INTO unknowns (gallery_key, unknown_id, number, known, created_ns) VALUES (?, ?, ?, 0, ?)",
        [(place.gallery_key, new_id(), number, place.at_ns) for number in numbers],
    )


def _unknown_keys(db: apsw.Connection, gallery_key: int, numbers: Iterable[int]) -> dict[int, int]:
    rows = db.execute(
        "SELECT number, unknown_key FROM unknowns WHERE gallery_key = ? AND number IN (SELECT value FROM json_each(?))",
        (gallery_key, json.dumps(list(numbers))),
    )
    return {int(number): int(unknown_key) for number, unknown_key in rows}


def _moving(db: apsw.Connection, plan: Regrouping, ended: set[int]) -> set[int]:
    """Sightings of faces that leave a group which goes on without them."""
    faces = [face for face, _ in plan.moved] + list(plan.removed)
    rows = db.execute(
        "SELECT f.sighting_key, u.number FROM faces f JOIN unknowns u USING (unknown_key) "
        "WHERE f.face_key IN (SELECT value FROM json_each(?))",
        (json.dumps(faces),),
    )
    return {sighting for sighting, number in rows if number not in ended}


def _add(db: apsw.Connection, plan: Regrouping, unknown_keys: Mapping[int, int], sightings: Mapping[int, int]) -> None:
    group_of = dict(plan.moved)
    db.executemany(
        "INSERT INTO faces (face_key, sighting_key, unknown_key, chunklet, score, embedding, coherence) "
        "VALUES (?, ?, ?, 0, ?, ?, ?)",
        [
            (
                face.key,
                sightings[face.key],
                unknown_keys[group_of[face.key]],
                face.quality,
                blob(face.embedding),
                face.coherence,
            )
            for face in plan.added
        ],
    )


def _of_group(db: apsw.Connection, gallery_key: int, number: int) -> set[int]:
    rows = db.execute(
        "SELECT f.sighting_key FROM faces f JOIN unknowns u USING (unknown_key) "
        "WHERE u.gallery_key = ? AND u.number = ?",
        (gallery_key, number),
    )
    return {sighting for (sighting,) in rows}


def _end(db: apsw.Connection, place: Place, unknown_key: int, target: int | None) -> str:
    """Leads from a group that has no faces any more to the one that took it in; its name when anybody knew it."""
    ((unknown_id, known, ignored),) = db.execute(
        "SELECT unknown_id, known, ignored FROM unknowns WHERE unknown_key = ?", (unknown_key,)
    )
    if not known or target is None:
        db.execute("DELETE FROM unknowns WHERE unknown_key = ?", (unknown_key,))
        return place.gallery.unknown(unknown_id) if known else ""
    db.execute("UPDATE unknowns SET merged_key = ? WHERE unknown_key = ?", (target, unknown_key))
    db.execute("UPDATE unknowns SET ignored = max(ignored, ?) WHERE unknown_key = ?", (ignored, target))
    return place.gallery.unknown(unknown_id)


def _chunklets(db: apsw.Connection, plan: Regrouping) -> set[tuple[int, int]]:
    """(old, new) chunklets of the faces that get another one."""
    new = dict(plan.bound)
    rows = db.execute(
        "SELECT chunklet, face_key FROM faces WHERE chunklet <> 0 AND face_key IN (SELECT value FROM json_each(?))",
        (json.dumps(list(new)),),
    )
    return {(old, new[face]) for old, face in rows}


def _link(db: apsw.Connection, gallery_key: int, plan: Regrouping, chunklets: Iterable[tuple[int, int]]) -> None:
    """Writes cannot-links. Those with faces that the clustering lacks, because they have a name, are passed on."""
    db.executemany(
        "DELETE FROM cannot_links WHERE gallery_key = ? AND first = ? AND second = ?",
        [(gallery_key, *sorted(pair)) for pair in plan.unlinked],
    )
    passed = {
        (min(new, other), max(new, other))
        for old, new in chunklets
        for (other,) in db.execute(
            "SELECT first + second - ?1 FROM cannot_links WHERE gallery_key = ?2 AND ?1 IN (first, second)",
            (old, gallery_key),
        )
        if other != new
    }
    db.executemany(
        "INSERT OR IGNORE INTO cannot_links VALUES (?, ?, ?)",
        [(gallery_key, *sorted(pair)) for pair in {*plan.linked, *passed}],
    )


def _count(db: apsw.Connection, gallery_key: int, plan: Regrouping) -> None:
    """Numbers that were used are never used again."""
    db.execute(
        "UPDATE clusterings SET next_group = max(next_group, ?), next_chunklet = max(next_chunklet, ?) "
        "WHERE gallery_key = ?",
        (
            max(plan.started, default=0) + 1,
            max((chunklet for _, chunklet in plan.bound), default=0) + 1,
            gallery_key,
        ),
    )


def blob(embedding: Embedding) -> bytes:
    """An embedding as the store keeps it."""
    return embedding.astype("<f4", copy=False).tobytes()


def joined(changes: Iterable[SightingChange]) -> SightingChange:
    """Several changes of one gallery as one."""
    parts = list(changes)
    return replace(
        parts[0],
        sightings=tuple(sorted({key for part in parts for key in part.sightings})),
        people=tuple(dict.fromkeys(name for part in parts for name in part.people)),
        deleted=tuple(sorted({key for part in parts for key in part.deleted})),
    )
