from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import apsw
import numpy as np
import pytest

from server.errors import StorageError, UnavailableError
from server.identity.store import Store, check_version, owe_rewriting
from tests.server.identity.conftest import Opener
from tests.server.identity.crowd import GALLERY, enrol, unit
from tests.server.identity.faulty_disk import FaultyDisk, faulty_disk


def test_commits_are_durable_and_what_is_removed_is_zeroed(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "gallery.sqlite3")
    seen = {
        name: store.writer.pragma(name) for name in ("journal_mode", "synchronous", "secure_delete", "foreign_keys")
    }
    assert seen == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "foreign_keys": 1}
    store.close()


def test_only_its_owner_may_read_the_files(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "gallery.sqlite3")
    store.writer.execute("CREATE TABLE t (x)")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 3
    assert set(modes.values()) == {0o600}
    store.close()


@pytest.mark.parametrize("version", ["3.40.1", "3.51.2", "3.7.0"])
def test_a_sqlite_that_may_corrupt_the_store_is_refused(version: str) -> None:
    with pytest.raises(StorageError, match="install apsw"):
        check_version(version)


@pytest.mark.parametrize("version", ["3.51.3", "3.53.0", "4.0.0"])
def test_a_good_sqlite_passes(version: str) -> None:
    check_version(version)


def test_the_sqlite_that_is_installed_passes() -> None:
    check_version(apsw.sqlite_lib_version())


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "gallery.sqlite3"
    path.write_bytes(b"not a database at all " * 500)
    with pytest.raises(StorageError, match="restore a backup") as refusal:
        Store.open(path)
    assert refusal.value.reason == "STORAGE_DAMAGED"
    assert path.read_bytes() == b"not a database at all " * 500


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "gallery.sqlite3"
    other = apsw.Connection(str(path))
    other.execute("CREATE TABLE notes (text); INSERT INTO notes VALUES ('mine')")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match="another program"):
        Store.open(path)
    assert path.read_bytes() == before


def test_damaged_pages_are_refused_with_what_to_do(open_galleries: Opener, tmp_path: Path) -> None:
    galleries = open_galleries()
    for number in range(200):
        enrol(galleries, f"Person {number}", unit(2, number))
    galleries.close()
    path = tmp_path / "data" / "gallery.sqlite3"
    data = bytearray(path.read_bytes())
    random = np.random.default_rng(0)
    for page in range(2, len(data) // 4096, 3):
        data[page * 4096 : page * 4096 + 200] = random.bytes(200)
    path.write_bytes(bytes(data))
    with pytest.raises(StorageError, match="restore a backup") as refusal:
        open_galleries()
    assert refusal.value.reason == "STORAGE_DAMAGED"


def test_a_damaged_embedding_is_refused_with_what_to_do(open_galleries: Opener, tmp_path: Path) -> None:
    galleries = open_galleries()
    enrol(galleries, "Ada", unit(1, 0))
    galleries.close()
    db = apsw.Connection(str(tmp_path / "data" / "gallery.sqlite3"))
    db.execute("UPDATE templates SET embedding = zeroblob(64)")
    db.close()
    with pytest.raises(StorageError, match="all zeros"):
        open_galleries()


def test_a_store_that_was_refused_lets_the_data_directory_go(open_galleries: Opener, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "gallery.sqlite3"
    path.write_bytes(b"x" * 5000)
    with pytest.raises(StorageError):
        open_galleries()
    path.unlink()
    assert open_galleries().statistics(GALLERY).identity_count == 0


def test_a_reader_sees_one_state_however_long_it_reads(open_galleries: Opener, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "gallery.sqlite3")
    store.writer.execute("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
    with store.reading() as db:
        assert db.execute("SELECT count(*) FROM t").get == 1
        store.writer.execute("INSERT INTO t VALUES (2)")
        assert db.execute("SELECT count(*) FROM t").get == 1
        assert not store.empty_log()
    assert store.empty_log()
    store.close()


def test_a_closed_store_is_unavailable(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "gallery.sqlite3")
    store.close()
    with pytest.raises(UnavailableError), store.reading():
        pass


def test_rewriting_leaves_no_stray_copy_of_what_was_deleted(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "gallery.sqlite3")
    db, random = store.writer, np.random.default_rng(1)
    marks = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(1_500)]
    db.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, mark TEXT, filler BLOB); CREATE INDEX i ON t (mark)")
    db.execute("BEGIN")
    for number, mark in enumerate(marks):
        db.execute("INSERT INTO t VALUES (?, ?, ?)", (number, mark, random.bytes(int(random.integers(10, 700)))))
        filler = random.bytes(int(random.integers(10, 900)))
        db.execute("UPDATE t SET filler = ? WHERE k = ?", (filler, int(random.integers(number + 1))))
    db.execute("COMMIT")
    db.execute("DELETE FROM t WHERE k % 3 = 0")  # balancing the tree has left copies of these in gaps of its pages
    store.rewrite()
    assert store.empty_log()
    data = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert [mark for mark in marks[::3] if mark.encode() in data] == []
    store.close()


LARGE_MB = 50
"""More than SQLite keeps of a copy in memory."""


def filled(path: Path, megabytes: int, vfs: str = "") -> Store:
    store = Store.open(path, vfs=vfs)
    store.writer.execute("CREATE TABLE t (x)")
    with store.writer:
        store.writer.executemany("INSERT INTO t VALUES (randomblob(3000))", [()] * (megabytes * 333))
    return store


def test_rewriting_a_large_file_takes_little_memory(tmp_path: Path) -> None:
    store = filled(tmp_path / "gallery.sqlite3", 150)
    before = apsw.memory_used()
    apsw.memory_high_water(True)
    store.rewrite()
    assert apsw.memory_high_water() - before < 100e6
    store.close()


def test_the_copy_that_rewriting_makes_is_beside_the_file_and_has_no_name(tmp_path: Path) -> None:
    with faulty_disk() as disk:
        store = filled(tmp_path / "gallery.sqlite3", LARGE_MB, disk.name)
        store.rewrite()
        store.close()
        assert disk.temporary
        assert {Path(name).parent for name in disk.temporary} == {tmp_path}
        assert not [name for name in disk.temporary if Path(name).exists()]


def test_a_copy_that_no_space_is_left_for_leaves_the_file_as_it_is_and_the_rewriting_owed(tmp_path: Path) -> None:
    with faulty_disk() as disk:
        store = filled(tmp_path / "gallery.sqlite3", LARGE_MB, disk.name)
        owe_rewriting(store.writer)
        disk.full_for_copies = True
        with pytest.raises(apsw.FullError):
            store.rewrite()
        disk.full_for_copies = False
        assert store.owes_rewriting()
        assert store.writer.execute("SELECT count(*) FROM t").get == LARGE_MB * 333
        store.rewrite()
        assert not store.owes_rewriting()
        store.close()


def test_a_store_is_closed_also_when_no_space_is_left_to_rewrite_it(tmp_path: Path) -> None:
    with faulty_disk() as disk:
        store = filled(tmp_path / "gallery.sqlite3", LARGE_MB, disk.name)
        owe_rewriting(store.writer)
        disk.full_for_copies = True
        store.close()
        disk.full_for_copies = False
        again = Store.open(tmp_path / "gallery.sqlite3", vfs=disk.name)
        assert again.owes_rewriting()
        again.close()


def test_opening_does_not_wait_for_the_rewriting_that_is_owed(tmp_path: Path) -> None:
    store = filled(tmp_path / "gallery.sqlite3", 1)
    owe_rewriting(store.writer)
    again = Store.open(tmp_path / "gallery.sqlite3")
    assert again.owes_rewriting()
    again.close()
    assert not store.owes_rewriting()
    store.close()


class Deleting(FaultyDisk):
    """A disk that has another process delete something when somebody opens the database once more."""

    def __init__(self, path: Path) -> None:
        super().__init__("deleting")
        self.other = apsw.Connection(str(path))
        self.armed = False

    def xOpen(self, name: apsw.URIFilename | str | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        if self.armed and flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            self.armed = False
            owe_rewriting(self.other)
        return super().xOpen(name, flags)


def test_what_another_process_deletes_meanwhile_is_owed_still(tmp_path: Path) -> None:
    filled(tmp_path / "gallery.sqlite3", 1).close()
    disk = Deleting(tmp_path / "gallery.sqlite3")
    store = Store.open(tmp_path / "gallery.sqlite3", vfs=disk.name)
    owe_rewriting(store.writer)
    disk.armed = True
    store.rewrite()
    assert store.owes_rewriting()
    store.rewrite()
    assert not store.owes_rewriting()
    store.close()
    disk.other.close()
    disk.unregister()
