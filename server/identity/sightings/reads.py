"""What the store says of sightings and groups: functions of a connection inside a transaction."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import apsw
import numpy as np
from numpy.typing import NDArray

from server.domain import Embeddings, GalleryName, IdentityName, Quality, SightingName, UnknownName
from server.errors import NotFoundError
from server.identity.rows import Keys
from server.identity.sightings.records import Person, Sighting, SightingFilter, Unknown, UnknownState

_SIGHTING: Final = (
    "SELECT s.sighting_key, s.camera, s.track, s.first_ns, s.last_ns, s.frames, s.ended, i.identity_id, "
    "i.display_name, u.unknown_id, u.ignored, s.distance, s.threshold, s.quality, s.best_ns "
    "FROM sightings s LEFT JOIN faces f USING (sighting_key) "
    "LEFT JOIN unknowns u ON u.unknown_key = f.unknown_key AND u.known "
    "LEFT JOIN identities i ON i.identity_key = coalesce(s.identity_key, u.identity_key) "
)
"""Whom a sighting shows is looked up: its match, or the identity that its group was named as, and their names now."""

_SHOWING: Final = (
    "SELECT sighting_key FROM sightings WHERE identity_key = ? UNION "
    "SELECT f.sighting_key FROM faces f JOIN sightings USING (sighting_key) JOIN unknowns u USING (unknown_key) "
    "WHERE u.identity_key = ? AND sightings.identity_key IS NULL"
)
_BLOCK: Final = 8_192
"""Templates that are read and compared at a time."""


def gallery_key(db: apsw.Connection, gallery: GalleryName) -> int:
    """The store's key of a gallery; 0 when nobody was ever seen or enrolled there."""
    found = db.execute(
        "SELECT gallery_key FROM galleries WHERE tenant = ? AND gallery = ?", (gallery.tenant, gallery.gallery)
    ).get
    return int(found or 0)


def sighting(db: apsw.Connection, name: SightingName) -> Sighting:
    """A sighting.

    Raises:
        NotFoundError: when it is not there.
    """
    row = db.execute(
        _SIGHTING + "WHERE s.gallery_key = ? AND s.sighting_key = ?", (gallery_key(db, name.gallery), name.key)
    ).fetchone()
    if row is None:
        raise NotFoundError(
            "SIGHTING_NOT_FOUND", f"{name} is not there; it may have been deleted, or been too old to keep"
        )
    return _sighting(name.gallery, row)


def sightings_by_key(db: apsw.Connection, gallery: GalleryName, keys: Sequence[int]) -> list[Sighting]:
    """Those of these sightings that are there, in the order of their keys."""
    rows = db.execute(
        _SIGHTING + "WHERE s.sighting_key IN (SELECT value FROM json_each(?)) ORDER BY s.sighting_key",
        (json.dumps(list(keys)),),
    )
    return [_sighting(gallery, row) for row in rows]


def crop(db: apsw.Connection, sighting_key: int) -> bytes:
    """A sighting's best look as JPEG; empty when it was not kept."""
    return bytes(db.execute("SELECT jpeg FROM sighting_crops WHERE sighting_key = ?", (sighting_key,)).get or b"")


def page(
    db: apsw.Connection, gallery: GalleryName, wanted: SightingFilter, *, before: int, count: int
) -> list[Sighting]:
    """Up to `count` sightings, the newest first, older than the one with the key `before` (0 for the newest).

    Raises:
        NotFoundError: when the identity or the group that is asked for is not there.
    """
    terms, values = ["s.gallery_key = ?"], [gallery_key(db, gallery)]
    if before:
        terms.append("s.sighting_key < ?")
        values.append(before)
    for term, value in _terms(db, wanted):
        terms.append(term)
        values += value
    if not wanted.include_ignored:
        terms.append("NOT coalesce(u.ignored, 0)")
    sql = f"{_SIGHTING}WHERE {' AND '.join(terms)} ORDER BY s.sighting_key DESC LIMIT ?"
    return [_sighting(gallery, row) for row in db.execute(sql, (*values, count))]


def _terms(db: apsw.Connection, wanted: SightingFilter) -> Iterator[tuple[str, list[Any]]]:
    if wanted.identity:
        key = _identity_key(db, IdentityName.parse(wanted.identity, "identity"))
        yield f"s.sighting_key IN ({_SHOWING})", [key, key]
    if wanted.unknown:
        row = unknown_row(db, UnknownName.parse(wanted.unknown, "unknown"))
        yield "s.sighting_key IN (SELECT sighting_key FROM faces WHERE unknown_key = ?)", [row.key]
    if wanted.camera:
        yield "s.camera = ?", [wanted.camera]
    if wanted.start_ns:
        yield "(s.last_ns >= ? OR s.ended = 0)", [wanted.start_ns]
    if wanted.end_ns:
        yield "s.first_ns < ?", [wanted.end_ns]


def _identity_key(db: apsw.Connection, name: IdentityName) -> int:
    found = db.execute(
        "SELECT identity_key FROM identities WHERE gallery_key = ? AND identity_id = ?",
        (gallery_key(db, name.gallery), name.identity_id),
    ).get
    if found is None:
        raise NotFoundError(
            "IDENTITY_NOT_FOUND",
            f"{name} is not enrolled; list the identities to see who is",
            metadata={"identity": str(name)},
        )
    return int(found)


def _sighting(gallery: GalleryName, row: tuple[Any, ...]) -> Sighting:
    key, camera, track, first, last, frames, ended, identity_id, display_name, unknown_id, ignored, *rest = row
    distance, threshold, quality, best_ns = rest
    return Sighting(
        name=gallery.sighting(key),
        key=key,
        camera=camera,
        track=track,
        first_seen_ns=first,
        last_seen_ns=last,
        frames=frames,
        ended=bool(ended),
        person=Person(
            identity=gallery.identity(identity_id) if identity_id else "",
            display_name=display_name or "",
            unknown=gallery.unknown(unknown_id) if unknown_id else "",
            ignored=bool(ignored),
        ),
        distance=distance,
        threshold=threshold,
        quality=Quality(**json.loads(quality)),
        best_ns=best_ns,
    )


# Groups


@dataclass(frozen=True, slots=True)
class UnknownRow:
    """A group as it is stored.

    Attributes:
        name: resource name.
        key: the store's key of it.
        gallery_key: of its gallery.
        number: the clustering's name for it.
        identity_key: of the identity that it was named as; None unless it was.
        ignored: an admin does not want to see it.
    """

    name: UnknownName
    key: int
    gallery_key: int
    number: int
    identity_key: int | None
    ignored: bool


def unknown_row(db: apsw.Connection, name: UnknownName, field: str = "name") -> UnknownRow:
    """A known group, or the one that took it in.

    Raises:
        NotFoundError: when there is none.
    """
    key = gallery_key(db, name.gallery)
    row = db.execute(
        "WITH RECURSIVE way (unknown_key, merged_key) AS ("
        "SELECT unknown_key, merged_key FROM unknowns WHERE gallery_key = ? AND unknown_id = ? AND known "
        "UNION SELECT u.unknown_key, u.merged_key FROM unknowns u JOIN way ON u.unknown_key = way.merged_key) "
        "SELECT u.unknown_id, u.unknown_key, u.gallery_key, u.number, u.identity_key, u.ignored "
        "FROM way JOIN unknowns u USING (unknown_key) WHERE way.merged_key IS NULL",
        (key, name.unknown_id),
    ).fetchone()
    if row is None:
        raise NotFoundError(
            "UNKNOWN_NOT_FOUND",
            f"{name} is not there; it may have been deleted, or not been seen for too long; list the unknowns to see "
            "which there are",
            field=field,
        )
    unknown_id, unknown_key, _, number, identity_key, ignored = row
    return UnknownRow(UnknownName(name.gallery, unknown_id), unknown_key, key, number, identity_key, bool(ignored))


_UNKNOWN: Final = (
    "SELECT u.unknown_key, u.unknown_id, u.ignored, i.identity_id, i.display_name, count(s.sighting_key), "
    "min(s.first_ns), max(s.last_ns), json_group_array(DISTINCT s.camera), "
    "(SELECT b.sighting_key FROM faces f JOIN sightings b USING (sighting_key) WHERE f.unknown_key = u.unknown_key "
    "ORDER BY b.score DESC, b.sighting_key LIMIT 1) "
    "FROM unknowns u LEFT JOIN faces f USING (unknown_key) LEFT JOIN sightings s USING (sighting_key) "
    "LEFT JOIN identities i ON i.identity_key = u.identity_key "
)
_STATES: Final = {
    UnknownState.OPEN: "(u.identity_key IS NULL AND NOT u.ignored)",
    UnknownState.IGNORED: "(u.identity_key IS NULL AND u.ignored)",
    UnknownState.NAMED: "(u.identity_key IS NOT NULL)",
}


def unknown(db: apsw.Connection, name: UnknownName) -> Unknown:
    """A group, or the one that took it in.

    Raises:
        NotFoundError: when there is none.
    """
    row = unknown_row(db, name)
    (found,) = db.execute(_UNKNOWN + "WHERE u.unknown_key = ? GROUP BY u.unknown_key", (row.key,))
    return _unknown(name.gallery, found)


def unknowns_page(
    db: apsw.Connection, gallery: GalleryName, states: Sequence[UnknownState], *, after: int, count: int
) -> list[tuple[int, Unknown]]:
    """Up to `count` groups with their keys, in the order of their beginning, behind the key `after`."""
    rows = db.execute(
        f"{_UNKNOWN}WHERE u.unknown_key IN (SELECT unknown_key FROM unknowns u WHERE u.gallery_key = ? "
        f"AND u.unknown_key > ? AND u.known AND u.merged_key IS NULL AND ({' OR '.join(_STATES[s] for s in states)}) "
        "ORDER BY u.unknown_key LIMIT ?) GROUP BY u.unknown_key ORDER BY u.unknown_key",
        (gallery_key(db, gallery), after, count),
    )
    return [(row[0], _unknown(gallery, row)) for row in rows]


def _unknown(gallery: GalleryName, row: tuple[Any, ...]) -> Unknown:
    _, unknown_id, ignored, identity_id, display_name, count, first, last, cameras, best = row
    state = UnknownState.NAMED if identity_id else UnknownState.IGNORED if ignored else UnknownState.OPEN
    return Unknown(
        name=gallery.unknown(unknown_id),
        state=state,
        identity=gallery.identity(identity_id) if identity_id else "",
        display_name=display_name or "",
        sighting_count=count,
        first_seen_ns=first or 0,
        last_seen_ns=last or 0,
        cameras=tuple(sorted(camera for camera in json.loads(cameras) if camera is not None)),
        best_sighting=gallery.sighting(best) if best else "",
    )


def best_sightings(db: apsw.Connection, unknown_key: int, count: int) -> list[int]:
    """Keys of a group's sightings with the best looks, the best first."""
    return [
        key
        for (key,) in db.execute(
            "SELECT s.sighting_key FROM faces f JOIN sightings s USING (sighting_key) WHERE f.unknown_key = ? "
            "ORDER BY s.score DESC, s.sighting_key LIMIT ?",
            (unknown_key, count),
        )
    ]


def sightings_of(db: apsw.Connection, unknown_key: int) -> tuple[int, ...]:
    """Keys of all sightings of a group, ascending."""
    return tuple(
        key
        for (key,) in db.execute(
            "SELECT sighting_key FROM faces WHERE unknown_key = ? ORDER BY sighting_key", (unknown_key,)
        )
    )


# Templates


@dataclass(frozen=True, slots=True)
class SightingTemplates:
    """Templates of sightings: (N,) keys ascending, (N, D) embeddings and (N,) float64 coherences."""

    keys: Keys
    vectors: Embeddings
    coherences: NDArray[np.float64]


def templates(
    db: apsw.Connection, gallery: GalleryName, fingerprint: str, *, include_identified: bool
) -> Iterator[SightingTemplates]:
    """All templates made by the models of this fingerprint, some thousand at a time."""
    only = "" if include_identified else "AND s.identity_key IS NULL AND u.identity_key IS NULL "
    cursor = db.execute(
        "SELECT s.sighting_key, s.embedding, s.coherence FROM sightings s LEFT JOIN faces f USING (sighting_key) "
        "LEFT JOIN unknowns u USING (unknown_key) "
        f"WHERE s.gallery_key = ? AND s.fingerprint = ? {only}ORDER BY s.sighting_key",
        (gallery_key(db, gallery), fingerprint),
    )
    rows: list[tuple[int, bytes, float]] = []
    for row in cursor:
        rows.append(row)
        if len(rows) == _BLOCK:
            yield _templates(rows)
            rows = []
    if rows:
        yield _templates(rows)


def _templates(rows: Sequence[tuple[int, bytes, float]]) -> SightingTemplates:
    keys, embeddings, coherences = zip(*rows, strict=True)
    return SightingTemplates(
        np.array(keys, np.int64),
        np.frombuffer(b"".join(embeddings), "<f4").reshape(len(rows), -1),
        np.array(coherences, np.float64),
    )


def people_count(db: apsw.Connection, gallery: GalleryName, fingerprint: str, *, include_identified: bool) -> int:
    """How many different people the templates show: groups, identities, and faces that are in no group."""
    only = "" if include_identified else "AND s.identity_key IS NULL AND u.identity_key IS NULL "
    return int(
        db.execute(
            "SELECT count(DISTINCT coalesce('i' || coalesce(s.identity_key, u.identity_key), 'u' || f.unknown_key, "
            "'s' || s.sighting_key)) FROM sightings s LEFT JOIN faces f USING (sighting_key) "
            f"LEFT JOIN unknowns u USING (unknown_key) WHERE s.gallery_key = ? AND s.fingerprint = ? {only}",
            (gallery_key(db, gallery), fingerprint),
        ).get
    )
