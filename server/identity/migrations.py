"""The store's schema, as steps that are only ever added to.

Each step runs in one transaction together with the row that records it. Keys are AUTOINCREMENT so that none is ever
used twice: a deleted template's key in an old index file can never mean somebody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import apsw

from server.errors import StorageError

APPLICATION_ID: Final = 0x46535452
"""Marks the file as ours in its header: "FSTR"."""


@dataclass(frozen=True, slots=True)
class Migration:
    """A named step of the schema; several statements."""

    name: str
    sql: str


MIGRATIONS: Final[Sequence[Migration]] = (
    Migration(
        "galleries, identities, templates",
        """
        CREATE TABLE galleries (
            gallery_key INTEGER PRIMARY KEY AUTOINCREMENT,
            tenant TEXT NOT NULL,
            gallery TEXT NOT NULL,
            revision INTEGER NOT NULL,
            fingerprint TEXT NOT NULL,          -- empty while the gallery has no template
            created_ns INTEGER NOT NULL,
            UNIQUE (tenant, gallery)
        ) STRICT;

        CREATE TABLE identities (
            identity_key INTEGER PRIMARY KEY AUTOINCREMENT,
            gallery_key INTEGER NOT NULL REFERENCES galleries,
            identity_id TEXT NOT NULL,
            display_name TEXT NOT NULL,
            folded_name TEXT NOT NULL,          -- for searching whatever the case
            created_ns INTEGER NOT NULL,
            updated_ns INTEGER NOT NULL,
            UNIQUE (gallery_key, identity_id)
        ) STRICT;
        CREATE INDEX identities_in_order ON identities (gallery_key, identity_key);

        CREATE TABLE templates (
            template_key INTEGER PRIMARY KEY AUTOINCREMENT,
            gallery_key INTEGER NOT NULL REFERENCES galleries,
            identity_key INTEGER NOT NULL REFERENCES identities ON DELETE CASCADE,
            embedding BLOB NOT NULL,            -- D little-endian float32
            quality TEXT NOT NULL,              -- JSON of domain.Quality
            source TEXT NOT NULL,
            photo_digest TEXT NOT NULL,
            created_ns INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX templates_of_gallery ON templates (gallery_key);
        CREATE INDEX templates_of_identity ON templates (identity_key);
        CREATE INDEX templates_by_photo ON templates (gallery_key, photo_digest) WHERE photo_digest <> '';

        CREATE TABLE crops (
            template_key INTEGER PRIMARY KEY REFERENCES templates ON DELETE CASCADE,
            jpeg BLOB NOT NULL
        ) STRICT;
        """,
    ),
    Migration(
        "change log, deletions, requests",
        """
        CREATE TABLE changes (
            gallery_key INTEGER NOT NULL REFERENCES galleries,
            revision INTEGER NOT NULL,
            kind TEXT NOT NULL,
            identity_id TEXT NOT NULL,
            stamp INTEGER NOT NULL,             -- random: tells two histories apart
            at_ns INTEGER NOT NULL,
            PRIMARY KEY (gallery_key, revision)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE deletions (
            gallery_key INTEGER NOT NULL REFERENCES galleries,
            identity_id TEXT NOT NULL,
            template_count INTEGER NOT NULL,
            revision INTEGER NOT NULL,
            deleted_ns INTEGER NOT NULL,
            PRIMARY KEY (gallery_key, identity_id)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE requests (
            request_key INTEGER PRIMARY KEY AUTOINCREMENT,
            request_id TEXT NOT NULL UNIQUE,
            digest TEXT NOT NULL,
            kind TEXT NOT NULL,
            gallery_key INTEGER NOT NULL REFERENCES galleries,
            identity_id TEXT NOT NULL,
            answer TEXT NOT NULL,               -- JSON of the receipt; empty once the identity is deleted
            payload BLOB NOT NULL
        ) STRICT;
        CREATE INDEX requests_of_identity ON requests (gallery_key, identity_id);
        """,
    ),
    Migration(
        "sightings, unknowns, faces, negatives, operations",
        """
        CREATE TABLE clusterings (
            gallery_key INTEGER PRIMARY KEY REFERENCES galleries,
            version INTEGER NOT NULL,           -- of the groups and faces; whoever keeps them in memory compares it
            next_group INTEGER NOT NULL,
            next_chunklet INTEGER NOT NULL
        ) STRICT;

        CREATE TABLE unknowns (
            unknown_key INTEGER PRIMARY KEY AUTOINCREMENT,
            gallery_key INTEGER NOT NULL REFERENCES galleries,
            unknown_id TEXT NOT NULL,
            number INTEGER NOT NULL,            -- the clustering's name for it
            known INTEGER NOT NULL,             -- 0: a candidate, which nobody is shown
            ignored INTEGER NOT NULL DEFAULT 0,
            identity_key INTEGER REFERENCES identities ON DELETE CASCADE,   -- who it was named as
            merged_key INTEGER REFERENCES unknowns ON DELETE CASCADE,       -- which group took it in
            created_ns INTEGER NOT NULL,
            UNIQUE (gallery_key, unknown_id),
            UNIQUE (gallery_key, number)
        ) STRICT;
        CREATE INDEX unknowns_in_order ON unknowns (gallery_key, unknown_key);
        CREATE INDEX unknowns_of_identity ON unknowns (identity_key) WHERE identity_key IS NOT NULL;
        CREATE INDEX unknowns_merged ON unknowns (merged_key) WHERE merged_key IS NOT NULL;

        CREATE TABLE sightings (
            sighting_key INTEGER PRIMARY KEY AUTOINCREMENT,
            gallery_key INTEGER NOT NULL REFERENCES galleries,
            track TEXT NOT NULL,
            camera TEXT NOT NULL,
            first_ns INTEGER NOT NULL,
            last_ns INTEGER NOT NULL,
            frames INTEGER NOT NULL,
            ended INTEGER NOT NULL,
            identity_key INTEGER REFERENCES identities ON DELETE CASCADE,   -- the match; NULL for an unknown
            distance REAL,
            threshold REAL NOT NULL,
            quality TEXT NOT NULL,              -- JSON of domain.Quality
            score REAL NOT NULL,                -- of the quality
            best_ns INTEGER NOT NULL,
            fingerprint TEXT NOT NULL,
            embedding BLOB NOT NULL,            -- D little-endian float32: the track's template
            UNIQUE (gallery_key, track)
        ) STRICT;
        CREATE INDEX sightings_in_order ON sightings (gallery_key, sighting_key);
        CREATE INDEX sightings_by_camera ON sightings (gallery_key, camera, sighting_key);
        CREATE INDEX sightings_by_age ON sightings (last_ns);
        CREATE INDEX sightings_of_identity ON sightings (identity_key) WHERE identity_key IS NOT NULL;

        CREATE TABLE sighting_crops (
            sighting_key INTEGER PRIMARY KEY REFERENCES sightings ON DELETE CASCADE,
            jpeg BLOB NOT NULL
        ) STRICT;

        CREATE TABLE faces (
            face_key INTEGER PRIMARY KEY AUTOINCREMENT,
            sighting_key INTEGER NOT NULL UNIQUE REFERENCES sightings ON DELETE CASCADE,
            unknown_key INTEGER NOT NULL REFERENCES unknowns ON DELETE CASCADE,
            chunklet INTEGER NOT NULL,          -- 0: no admin has said with whom it belongs
            score REAL NOT NULL,
            embedding BLOB NOT NULL             -- as it was placed
        ) STRICT;
        CREATE INDEX faces_of_unknown ON faces (unknown_key);

        CREATE TABLE cannot_links (
            gallery_key INTEGER NOT NULL REFERENCES galleries,
            first INTEGER NOT NULL,             -- chunklets, the smaller first
            second INTEGER NOT NULL,
            PRIMARY KEY (gallery_key, first, second)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE negatives (
            negative_key INTEGER PRIMARY KEY AUTOINCREMENT,
            identity_key INTEGER NOT NULL REFERENCES identities ON DELETE CASCADE,  -- who it is not
            sighting_key INTEGER REFERENCES sightings ON DELETE SET NULL,
            fingerprint TEXT NOT NULL,
            embedding BLOB NOT NULL,
            radius REAL NOT NULL
        ) STRICT;
        CREATE INDEX negatives_of_identity ON negatives (identity_key);
        CREATE INDEX negatives_of_sighting ON negatives (sighting_key) WHERE sighting_key IS NOT NULL;

        CREATE TABLE promotions (
            template_key INTEGER PRIMARY KEY REFERENCES templates ON DELETE CASCADE,
            sighting_key INTEGER NOT NULL REFERENCES sightings ON DELETE CASCADE
        ) STRICT;
        CREATE INDEX promotions_of_sighting ON promotions (sighting_key);

        CREATE TABLE operations (
            operation_key INTEGER PRIMARY KEY AUTOINCREMENT,
            gallery_key INTEGER NOT NULL REFERENCES galleries,
            kind TEXT NOT NULL,
            principal TEXT NOT NULL,
            at_ns INTEGER NOT NULL,
            subjects TEXT NOT NULL,             -- JSON list of ends of resource names
            before TEXT NOT NULL,               -- JSON of what undoing puts back; empty when there is no way back
            undone INTEGER NOT NULL DEFAULT 0
        ) STRICT;
        CREATE INDEX operations_in_order ON operations (gallery_key, operation_key);

        CREATE TABLE operation_subjects (
            operation_key INTEGER NOT NULL REFERENCES operations ON DELETE CASCADE,
            subject TEXT NOT NULL,              -- such as unknown/7
            PRIMARY KEY (subject, operation_key)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX subjects_of_operation ON operation_subjects (operation_key);
        """,
    ),
    Migration(
        "coherence of means of looks",
        """
        -- Norm of the mean before it was made 1; 1 for one look, and in rows that are older than this.
        ALTER TABLE sightings ADD COLUMN coherence REAL NOT NULL DEFAULT 1;
        ALTER TABLE faces ADD COLUMN coherence REAL NOT NULL DEFAULT 1;
        ALTER TABLE templates ADD COLUMN coherence REAL NOT NULL DEFAULT 1;
        CREATE INDEX templates_of_looks ON templates (gallery_key) WHERE coherence < 1;
        """,
    ),
    Migration(
        "sightings that go on",
        """
        CREATE INDEX sightings_going_on ON sightings (sighting_key) WHERE ended = 0;
        """,
    ),
)


def applied(db: apsw.Connection) -> int:
    """How many steps the database has seen. Reads only.

    Raises:
        StorageError: when the database is not one of ours, or a newer one.
    """
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    mark = db.pragma("application_id")
    if mark == 0 and not tables:
        return 0
    if mark != APPLICATION_ID or "migrations" not in tables:
        raise StorageError(
            "STORAGE_FOREIGN",
            f"{db.filename} is a database of another program; give another data directory, or move the file away",
        )
    count = int(db.execute("SELECT count(*) FROM migrations").get)
    if count > len(MIGRATIONS):
        raise StorageError(
            "STORAGE_TOO_NEW",
            f"{db.filename} was written by a newer version (schema {count}, this version knows {len(MIGRATIONS)}); "
            "run that version, or restore a backup from before the upgrade",
        )
    return count


def migrate(db: apsw.Connection) -> None:
    """Applies the steps that the database has not seen.

    Raises:
        StorageError: as `applied`.
    """
    for number, migration in enumerate(MIGRATIONS[applied(db) :], applied(db) + 1):
        with db:
            if number == 1:
                db.pragma("application_id", APPLICATION_ID)
                db.execute("CREATE TABLE migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT")
            db.execute(migration.sql)
            db.execute("INSERT INTO migrations VALUES (?, ?)", (number, migration.name))
