from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from server.errors import StorageError
from server.identity.migrations import APPLICATION_ID, MIGRATIONS, applied, migrate


@pytest.fixture
def db(tmp_path: Path) -> apsw.Connection:
    return apsw.Connection(str(tmp_path / "gallery.sqlite3"))


def test_every_step_is_recorded_once_whatever_is_repeated(db: apsw.Connection) -> None:
    assert applied(db) == 0
    for _ in range(2):
        migrate(db)
        recorded = db.execute("SELECT number, name FROM migrations ORDER BY number").fetchall()
        assert recorded == [(n, step.name) for n, step in enumerate(MIGRATIONS, 1)]
    assert applied(db) == len(MIGRATIONS)
    assert db.pragma("application_id") == APPLICATION_ID


def test_a_step_that_fails_leaves_neither_its_tables_nor_its_record(db: apsw.Connection) -> None:
    db.execute("CREATE TABLE deletions (x)")  # in the way of the second step
    db.pragma("application_id", APPLICATION_ID)
    db.execute("CREATE TABLE migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL)")
    db.execute("INSERT INTO migrations VALUES (1, 'first')")
    db.execute("CREATE TABLE galleries (gallery_key INTEGER PRIMARY KEY)")
    with pytest.raises(apsw.SQLError, match="deletions"):
        migrate(db)
    assert applied(db) == 1
    assert not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'changes'").fetchall()


def test_a_database_of_another_program_is_refused(db: apsw.Connection) -> None:
    db.execute("CREATE TABLE notes (text)")
    with pytest.raises(StorageError) as refusal:
        applied(db)
    assert refusal.value.reason == "STORAGE_FOREIGN"


def test_a_database_of_a_newer_version_is_refused(db: apsw.Connection) -> None:
    migrate(db)
    db.execute("INSERT INTO migrations VALUES (99, 'from the future')")
    with pytest.raises(StorageError) as refusal:
        migrate(db)
    assert refusal.value.reason == "STORAGE_TOO_NEW"


def test_keys_are_never_used_twice(db: apsw.Connection) -> None:
    migrate(db)
    db.execute("INSERT INTO galleries (tenant, gallery, revision, fingerprint, created_ns) VALUES ('t', 'g', 0, '', 0)")
    keys = []
    for _ in range(3):
        db.execute(
            "INSERT INTO identities (gallery_key, identity_id, display_name, folded_name, created_ns, updated_ns) "
            "VALUES (1, 'i', 'I', 'i', 0, 0)"
        )
        keys.append(db.last_insert_rowid())
        db.execute("DELETE FROM identities")
    assert keys == [1, 2, 3]
