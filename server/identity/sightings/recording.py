"""Writing down who was seen: what a track's report does to the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import apsw

from server.domain import Embedding, GalleryName, IdentityName, Quality
from server.identity.change import StoreChange
from server.identity.cluster import Clusters
from server.identity.entries import pinned, quality_text
from server.identity.group_commit import Outcome
from server.identity.regrouping import Regrouping, UnknownFace
from server.identity.sightings.clustering import Clusterings, Place, blob, joined, next_face_key
from server.identity.sightings.records import SightingChange


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """What is to be written of a track.

    Attributes:
        gallery: that it was matched against.
        camera: the camera's name.
        track: its name.
        first_seen_ns: captured.
        last_seen_ns: captured.
        frames: in which it was seen.
        ended: no frame will follow.
        identity: the match; None for an unknown.
        distance: to the nearest person, squared L2; None when nobody is enrolled.
        threshold: that had to be beaten, squared L2.
        quality: of the best look.
        best_ns: when that was captured.
        template: (D,) of the track.
        coherence: of the looks that the template is the mean of, in (0, 1].
        corroborated: the looks at it corroborate each other.
        crop: JPEG; empty when it is not kept.
    """

    gallery: GalleryName
    camera: str
    track: str
    first_seen_ns: int
    last_seen_ns: int
    frames: int
    ended: bool
    identity: IdentityName | None
    distance: float | None
    threshold: float
    quality: Quality
    best_ns: int
    template: Embedding
    coherence: float
    corroborated: bool
    crop: bytes


def record(db: apsw.Connection, clusterings: Clusterings, track: TrackRecord, at_ns: int) -> Outcome[int, StoreChange]:
    """Writes a track down, anew or once more, and gives an unknown face its place.

    Nothing is written of a match with somebody who was deleted meanwhile. A match that an admin has denied, of this
    very sighting or by splitting its face from the person's group, counts as unknown.

    Returns:
        The key of the sighting; 0 when nothing was written.

    Raises:
        FingerprintError: when the gallery holds embeddings of another model.
    """
    pin = pinned(db, track.gallery, clusterings.fingerprint, at_ns)
    place = Place(track.gallery, pin.gallery_key, at_ns)
    identity_key = None
    if track.identity is not None:
        identity_key = db.execute(
            "SELECT identity_key FROM identities WHERE gallery_key = ? AND identity_id = ?",
            (pin.gallery_key, track.identity.identity_id),
        ).get
        if identity_key is None:
            return Outcome(0)
    key = db.execute(
        "SELECT sighting_key FROM sightings WHERE gallery_key = ? AND track = ?", (pin.gallery_key, track.track)
    ).get
    if key is not None and identity_key is not None and _denied(db, key, identity_key):
        identity_key = None
    key = _write(db, place, track, (key, identity_key, clusterings.fingerprint))
    changes = [SightingChange(track.gallery, pin.gallery_key, (key,))]
    if identity_key is None:
        changes += _place(db, clusterings, place, key, track)
    else:
        changes += _leave(db, clusterings, place, key, identity_key)
    return Outcome(key, (joined(changes),))


def end_all(db: apsw.Connection) -> Outcome[None, StoreChange]:
    """Takes note that no track goes on: those of a server that was killed will never be reported as ended."""
    db.execute("UPDATE sightings SET ended = 1 WHERE ended = 0")
    return Outcome(None)


def _denied(db: apsw.Connection, sighting_key: int, identity_key: int) -> bool:
    return bool(
        db.execute(
            "SELECT EXISTS (SELECT 1 FROM negatives WHERE sighting_key = ?1 AND identity_key = ?2) "
            f"OR EXISTS ({_SEPARATED})",
            (sighting_key, identity_key),
        ).get
    )


_SEPARATED: Final = (
    "SELECT 1 FROM faces f JOIN unknowns u USING (unknown_key) "
    "JOIN cannot_links l ON l.gallery_key = u.gallery_key AND f.chunklet IN (l.first, l.second) "
    "JOIN faces o ON o.chunklet = l.first + l.second - f.chunklet "
    "JOIN unknowns named ON named.unknown_key = o.unknown_key AND named.gallery_key = u.gallery_key "
    "WHERE f.sighting_key = ?1 AND f.chunklet <> 0 AND named.identity_key = ?2 AND u.identity_key IS NOT ?2"
)
"""An admin has said that this sighting's face and one in a group that was named as the person are not one person, and
has not named its own group as the person since."""


def _write(db: apsw.Connection, place: Place, track: TrackRecord, keys: tuple[int | None, int | None, str]) -> int:
    key, identity_key, fingerprint = keys
    values = {
        "camera": track.camera,
        "first_ns": track.first_seen_ns,
        "last_ns": track.last_seen_ns,
        "frames": track.frames,
        "ended": int(track.ended),
        "identity_key": identity_key,
        "distance": track.distance,
        "threshold": track.threshold,
        "quality": quality_text(track.quality),
        "score": track.quality.score,
        "best_ns": track.best_ns,
        "fingerprint": fingerprint,
        "embedding": blob(track.template),
        "coherence": track.coherence,
    }
    if key is None:
        values |= {"gallery_key": place.gallery_key, "track": track.track}
        marks = ", ".join("?" * len(values))
        db.execute(f"INSERT INTO sightings ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))
        key = db.last_insert_rowid()
    else:
        names = ", ".join(f"{name} = ?" for name in values)
        db.execute(f"UPDATE sightings SET {names} WHERE sighting_key = ?", (*values.values(), key))
    if track.crop:
        db.execute("INSERT OR REPLACE INTO sighting_crops VALUES (?, ?)", (key, track.crop))
    return key


def _place(
    db: apsw.Connection, clusterings: Clusterings, place: Place, sighting_key: int, track: TrackRecord
) -> list[SightingChange]:
    """Gives a face its place among the unknown ones, or another one when more is known of it (see `_again`)."""
    changes = []
    row = db.execute(
        "SELECT f.face_key, u.known, f.chunklet <> 0 OR (SELECT count(*) FROM faces o "
        "WHERE o.unknown_key = f.unknown_key) > 1 FROM faces f JOIN unknowns u USING (unknown_key) "
        "WHERE f.sighting_key = ?",
        (sighting_key,),
    ).fetchone()
    if row is not None:
        face_key, known, bound = row
        plan = None if known else _again(clusterings.of(db, place.gallery_key), face_key, track, bound=bool(bound))
        if plan is None:
            return []
        changes.append(clusterings.write(db, place, plan))
        if not plan.removed:
            return changes
    face = UnknownFace(
        next_face_key(db), track.template, track.quality.score, track.coherence, corroborated=track.corroborated
    )
    placement = clusterings.of(db, place.gallery_key).place(face)
    if placement.regrouping.changes_anything:
        changes.append(clusterings.write(db, place, placement.regrouping, {face.key: sighting_key}))
    return changes


def _again(clusters: Clusters, face_key: int, track: TrackRecord, *, bound: bool) -> Regrouping | None:
    """What becomes of a face that is in a candidate when its track is reported once more; None for nothing.

    One that waits alone is taken out, to be placed anew by a template that has grown, when its track has ended or is
    corroborated. One that is bound, to other faces or by what an admin said, stays, and its group becomes known.
    """
    if bound:
        return clusters.promote(clusters.group_of(face_key)) if track.corroborated else None
    return clusters.remove([face_key]) if track.ended or track.corroborated else None


def _leave(
    db: apsw.Connection, clusterings: Clusterings, place: Place, sighting_key: int, identity_key: int
) -> list[SightingChange]:
    """Takes a face that was recognised out of its group, unless the group has the same name."""
    row = db.execute(
        "SELECT f.face_key, u.identity_key FROM faces f JOIN unknowns u USING (unknown_key) WHERE f.sighting_key = ?",
        (sighting_key,),
    ).fetchone()
    if row is None or row[1] == identity_key:
        return []
    if row[1] is not None:
        db.execute("DELETE FROM faces WHERE face_key = ?", (row[0],))
        return []
    plan = clusterings.of(db, place.gallery_key).remove([row[0]])
    return [clusterings.write(db, place, plan)]
