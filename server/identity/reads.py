"""What the store says: functions of a connection inside a transaction."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apsw
import numpy as np

from server.domain import Embeddings, GalleryName, IdentityName, Quality
from server.errors import NotFoundError, StorageError
from server.identity.negatives import NegativeFaces
from server.identity.records import Identity, Template
from server.identity.roster import Person
from server.identity.rows import Keys

_IDENTITY = (
    "SELECT i.identity_id, i.display_name, i.created_ns, i.updated_ns, i.identity_key, "
    "(SELECT count(*) FROM templates t WHERE t.identity_key = i.identity_key) "
    "FROM identities i JOIN galleries g USING (gallery_key) WHERE g.tenant = ? AND g.gallery = ? "
)


@dataclass(frozen=True, slots=True)
class GalleryRow:
    """A gallery as it is stored.

    Attributes:
        name: resource name.
        key: the store's key of it.
        revision: of its last change.
        fingerprint: of the model that made its embeddings; empty while it has none.
    """

    name: GalleryName
    key: int
    revision: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class StoredTemplates:
    """A gallery's embeddings.

    Attributes:
        keys: (N,) ascending.
        owners: (N,) keys of the identities.
        vectors: (N, D).
    """

    keys: Keys
    owners: Keys
    vectors: Embeddings


def galleries(db: apsw.Connection) -> list[GalleryRow]:
    """All galleries."""
    return [
        GalleryRow(GalleryName(tenant, gallery), *rest)
        for tenant, gallery, *rest in db.execute(
            "SELECT tenant, gallery, gallery_key, revision, fingerprint FROM galleries ORDER BY gallery_key"
        )
    ]


def people(db: apsw.Connection, gallery_key: int) -> dict[int, Person]:
    """Everybody in a gallery, by identity key."""
    return {
        key: Person(identity_id, display_name)
        for key, identity_id, display_name in db.execute(
            "SELECT identity_key, identity_id, display_name FROM identities WHERE gallery_key = ?",
            (gallery_key,),
        )
    }


def templates(db: apsw.Connection, gallery_key: int, dimension: int) -> StoredTemplates:
    """A gallery's embeddings.

    Raises:
        StorageError: when one has another dimension.
    """
    rows = db.execute(
        "SELECT template_key, identity_key, embedding FROM templates WHERE gallery_key = ? ORDER BY template_key",
        (gallery_key,),
    )
    return _stored(rows.fetchall(), dimension)


def touched_people(
    db: apsw.Connection, gallery_key: int, revision: int
) -> Iterator[tuple[str, int | None, str | None]]:
    """Id, key and display name of everybody who was changed behind a revision; None twice for those who are gone."""
    yield from db.execute(
        "SELECT c.identity_id, i.identity_key, i.display_name "
        "FROM (SELECT DISTINCT identity_id FROM changes WHERE gallery_key = ?1 AND revision > ?2) c "
        "LEFT JOIN identities i ON i.gallery_key = ?1 AND i.identity_id = c.identity_id",
        (gallery_key, revision),
    )


def touched_templates(db: apsw.Connection, gallery_key: int, revision: int, dimension: int) -> StoredTemplates:
    """The embeddings of everybody who was changed behind a revision.

    Raises:
        StorageError: when one has another dimension.
    """
    rows = db.execute(
        "SELECT t.template_key, t.identity_key, t.embedding FROM templates t JOIN identities i USING (identity_key) "
        "WHERE i.gallery_key = ?1 AND i.identity_id IN "
        "(SELECT identity_id FROM changes WHERE gallery_key = ?1 AND revision > ?2) ORDER BY t.template_key",
        (gallery_key, revision),
    )
    return _stored(rows.fetchall(), dimension)


def coherences(db: apsw.Connection, gallery_key: int) -> dict[int, float]:
    """Of those templates of a gallery that are means of several looks, by key."""
    return dict(
        db.execute(
            "SELECT template_key, coherence FROM templates WHERE gallery_key = ? AND coherence < 1", (gallery_key,)
        )
    )


def coherences_of(db: apsw.Connection, identity_key: int) -> dict[int, float]:
    """Of those templates of a person that are means of several looks, by key."""
    return dict(
        db.execute(
            "SELECT template_key, coherence FROM templates WHERE identity_key = ? AND coherence < 1", (identity_key,)
        )
    )


def _stored(found: list[tuple[Any, ...]], dimension: int) -> StoredTemplates:
    wrong = next((key for key, _, blob in found if len(blob) != 4 * dimension), None)
    if wrong is not None:
        raise StorageError(
            "STORAGE_DAMAGED",
            f"template {wrong} is not a {dimension}-d embedding although its fingerprint says so; restore a backup of "
            "the data directory",
        )
    joined = b"".join(blob for _, _, blob in found)
    return StoredTemplates(
        keys=np.array([row[0] for row in found], np.int64),
        owners=np.array([row[1] for row in found], np.int64),
        vectors=np.frombuffer(joined, "<f4").reshape(-1, dimension),
    )


def stamp_of(db: apsw.Connection, gallery_key: int, revision: int) -> int:
    """The change log's random number of a revision; -1 when there is none."""
    row = db.execute(
        "SELECT stamp FROM changes WHERE gallery_key = ? AND revision = ?", (gallery_key, revision)
    ).fetchone()
    return int(row[0]) if row else -1


def subject(db: apsw.Connection, name: IdentityName) -> tuple[int, int, str, int]:
    """Gallery key, revision, fingerprint, and identity key of somebody.

    Raises:
        NotFoundError: when the person is not there.
    """
    row = db.execute(
        "SELECT g.gallery_key, g.revision, g.fingerprint, i.identity_key "
        "FROM identities i JOIN galleries g USING (gallery_key) "
        "WHERE g.tenant = ? AND g.gallery = ? AND i.identity_id = ?",
        (name.gallery.tenant, name.gallery.gallery, name.identity_id),
    ).fetchone()
    if row is None:
        raise _nobody(name)
    return row[0], row[1], row[2], row[3]


def name_of(db: apsw.Connection, identity_key: int) -> IdentityName:
    """Resource name of somebody who is there."""
    ((tenant, gallery, identity_id),) = db.execute(
        "SELECT g.tenant, g.gallery, i.identity_id FROM identities i JOIN galleries g USING (gallery_key) "
        "WHERE i.identity_key = ?",
        (identity_key,),
    )
    return IdentityName(GalleryName(tenant, gallery), identity_id)


def negatives(db: apsw.Connection, gallery_key: int, fingerprint: str) -> dict[int, NegativeFaces]:
    """Who people are not, by identity key, as far as it was said of embeddings with this fingerprint."""
    rows: dict[int, list[tuple[bytes, float]]] = {}
    for identity_key, embedding, radius in db.execute(
        "SELECT n.identity_key, n.embedding, n.radius FROM negatives n JOIN identities i USING (identity_key) "
        "WHERE i.gallery_key = ? AND n.fingerprint = ? ORDER BY n.negative_key",
        (gallery_key, fingerprint),
    ):
        rows.setdefault(identity_key, []).append((embedding, radius))
    return {key: _negative_faces(its) for key, its in rows.items()}


def negatives_of(db: apsw.Connection, identity_key: int, fingerprint: str) -> NegativeFaces:
    """Who one person is not."""
    rows = db.execute(
        "SELECT embedding, radius FROM negatives WHERE identity_key = ? AND fingerprint = ? ORDER BY negative_key",
        (identity_key, fingerprint),
    )
    return _negative_faces(rows.fetchall())


def _negative_faces(rows: Sequence[tuple[Any, ...]]) -> NegativeFaces:
    joined = b"".join(embedding for embedding, _ in rows)
    return NegativeFaces(
        np.frombuffer(joined, "<f4").reshape(len(rows), -1 if rows else 0),
        np.array([radius for _, radius in rows], np.float32),
    )


def identity(db: apsw.Connection, name: IdentityName) -> Identity:
    """A person.

    Raises:
        NotFoundError: when the person is not there.
    """
    row = db.execute(
        _IDENTITY + "AND i.identity_id = ?",
        (name.gallery.tenant, name.gallery.gallery, name.identity_id),
    ).fetchone()
    if row is None:
        raise _nobody(name)
    return _identity(name.gallery, row)


def identity_templates(db: apsw.Connection, name: IdentityName) -> Iterator[Template]:
    """A person's templates, oldest first."""
    for key, source, quality, photo_digest, created_ns in db.execute(
        "SELECT template_key, source, quality, photo_digest, created_ns FROM templates "
        "WHERE identity_key = ? ORDER BY template_key",
        (subject(db, name)[3],),
    ):
        yield Template(str(key), source, Quality(**json.loads(quality)), photo_digest, created_ns)


def qualities(db: apsw.Connection, gallery_key: int) -> dict[int, float]:
    """The quality score of each template of a gallery, by key."""
    return dict(
        db.execute(
            "SELECT template_key, json_extract(quality, '$.score') FROM templates WHERE gallery_key = ?", (gallery_key,)
        )
    )


def crop(db: apsw.Connection, name: IdentityName, template_id: str) -> bytes:
    """A template's aligned face as JPEG; empty when it was not kept.

    Raises:
        NotFoundError: when the person has no such template.
    """
    row = db.execute(
        "SELECT coalesce(c.jpeg, x'') FROM templates t LEFT JOIN crops c USING (template_key) "
        "WHERE t.identity_key = ? AND CAST(t.template_key AS TEXT) = ?",
        (subject(db, name)[3], template_id),
    ).fetchone()
    if row is None:
        raise NotFoundError(
            "TEMPLATE_NOT_FOUND", f"{name} has no template {template_id!r}; get the identity to see which it has"
        )
    return bytes(row[0])


def page(
    db: apsw.Connection, gallery: GalleryName, *, after: int, count: int, contains: str
) -> list[tuple[int, Identity]]:
    """Up to `count` people with their keys, in the order of creation, behind the key `after`.

    Args:
        db: the connection.
        gallery: whose.
        after: key of the last one before; 0 for the first page.
        count: at most so many.
        contains: folded text that their folded names hold.
    """
    rows = db.execute(
        _IDENTITY + "AND i.identity_key > ? AND instr(i.folded_name, ?) > 0 ORDER BY i.identity_key LIMIT ?",
        (gallery.tenant, gallery.gallery, after, contains, count),
    )
    return [(row[4], _identity(gallery, row)) for row in rows]


def photo_owner(db: apsw.Connection, gallery: GalleryName, photo_digest: str) -> Identity | None:
    """Who has a template made from this very picture; None when nobody has."""
    row = db.execute(
        _IDENTITY + "AND i.identity_key = (SELECT t.identity_key FROM templates t "
        "WHERE t.gallery_key = g.gallery_key AND t.photo_digest = ? AND t.photo_digest <> '' "
        "ORDER BY t.template_key LIMIT 1)",
        (gallery.tenant, gallery.gallery, photo_digest),
    ).fetchone()
    return _identity(gallery, row) if row else None


def numbers(db: apsw.Connection, gallery_key: int) -> tuple[int, int, int, str]:
    """People, templates, revision and fingerprint of a gallery."""
    (row,) = db.execute(
        "SELECT (SELECT count(*) FROM identities WHERE gallery_key = g.gallery_key), "
        "(SELECT count(*) FROM templates WHERE gallery_key = g.gallery_key), g.revision, g.fingerprint "
        "FROM galleries g WHERE g.gallery_key = ?",
        (gallery_key,),
    )
    return row[0], row[1], row[2], row[3]


def _identity(gallery: GalleryName, row: tuple[str, str, int, int, int, int]) -> Identity:
    identity_id, display_name, created_ns, updated_ns, _, template_count = row
    return Identity(gallery.identity(identity_id), display_name, template_count, created_ns, updated_ns)


def _nobody(name: IdentityName) -> NotFoundError:
    return NotFoundError(
        "IDENTITY_NOT_FOUND",
        f"{name} is not enrolled; list the identities to see who is",
        metadata={"identity": str(name)},
    )
