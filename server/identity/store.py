"""The database file: its connections, its pragmas, its damage, and the one place where SQLite's errors are translated.

One connection of a process writes, on one thread (`group_commit`); processes that share the file take turns. Any number
of connections read, each a consistent state, and neither waits for the other. synchronous=FULL makes a commit durable
before it is acknowledged, secure_delete zeroes what is removed.
"""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import apsw

from server.errors import StorageBusyError, StorageError, StorageFullError, UnavailableError
from server.identity.beside import temporary_files_beside
from server.identity.migrations import applied, migrate
from server.identity.snapshot import sync_directory

MIN_SQLITE: Final = (3, 51, 3)
"""Older ones can corrupt a database whose write-ahead log is reset while somebody reads."""

_BUSY_MS: Final = 5_000
_MOST_OWED: Final = 2**31 - 1
_RESTORE: Final = "stop the server, move the damaged file away and restore a backup of the data directory"


@contextmanager
def translated() -> Iterator[None]:
    """Turns SQLite's errors into ours.

    Raises:
        StorageFullError: when no space is left.
        StorageBusyError: when another process holds the lock.
        StorageError: for everything else.
    """
    try:
        yield
    except apsw.FullError as error:
        raise StorageFullError(
            "STORAGE_FULL",
            "no space is left to write; free some on the data directory's disk and repeat the call",
        ) from error
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise StorageError("STORAGE_DAMAGED", f"the store is damaged ({error}); {_RESTORE}") from error
    except apsw.IOError as error:
        raise StorageError("STORAGE_IO", f"the disk failed ({error}); check it and restart the server") from error
    except (apsw.BusyError, apsw.LockedError) as error:
        raise StorageBusyError(
            "STORAGE_BUSY",
            "the store is locked: another worker of this server rewrites its file after a deletion, which takes some "
            "ten seconds for each GB, or another program holds it open; repeat the call in a moment",
        ) from error
    except apsw.Error as error:
        raise StorageError("STORAGE_FAILED", f"the store failed ({type(error).__name__}: {error})") from error


def check_version(version: str) -> None:
    """Refuses a SQLite library that may damage the store.

    Raises:
        StorageError: when it is older than `MIN_SQLITE`.
    """
    if tuple(int(part) for part in version.split(".")) < MIN_SQLITE:
        wanted = ".".join(map(str, MIN_SQLITE))
        raise StorageError(
            "SQLITE_TOO_OLD",
            f"SQLite {version} can damage the store; install apsw with SQLite {wanted} or newer",
        )


class Store:
    """The open database.

    Attributes:
        path: of the file.
        writer: the one connection that writes; for one thread.
    """

    def __init__(self, path: Path, vfs: str, writer: apsw.Connection) -> None:
        self.path = path
        self.writer = writer
        self._vfs = vfs
        self._idle: queue.LifoQueue[apsw.Connection] = queue.LifoQueue()
        self._closed = False

    @staticmethod
    def open(path: Path, *, vfs: str = "", prepared: bool = False) -> Store:
        """Opens the database, makes it when it isn't there, checks its pages and brings its schema up to date.

        Args:
            path: of the file; its directory must be there.
            vfs: name of a registered SQLite VFS; empty for the system's own.
            prepared: another process of the group has made, checked and migrated it.

        Raises:
            StorageError: when the file is damaged, foreign or of a newer version, or SQLite is too old.
        """
        check_version(apsw.sqlite_lib_version())
        with translated():
            _make(path)
            writer = _connected(path, vfs, apsw.SQLITE_OPEN_READWRITE)
            try:
                if not prepared:
                    _prepare(writer)
                _set_up(writer)
            except BaseException:
                writer.close()
                raise
        return Store(path, vfs, writer)

    @contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """A connection that sees one state of the store until it is given back.

        Raises:
            UnavailableError: when the store is closed.
            StorageError: when reading fails.
        """
        with translated():
            db = self._reader()
            try:
                db.execute("BEGIN")
                yield db
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                self._idle.put(db)
                if self._closed:
                    self._close_idle()

    def _reader(self) -> apsw.Connection:
        if self._closed:
            raise UnavailableError("STORE_CLOSED", "the gallery is closed: the server is stopping")
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return _connected(self.path, self._vfs, apsw.SQLITE_OPEN_READONLY)

    def empty_log(self) -> bool:
        """Moves everything from the write-ahead log into the database file and empties the log.

        Returns:
            False when a reader still needs the log: try again.
        """
        self.writer.set_busy_timeout(0)
        try:
            self.writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.BusyError:
            return False
        finally:
            self.writer.set_busy_timeout(_BUSY_MS)
        return True

    def owes_rewriting(self) -> bool:
        """Whether a deletion, also one by another process, still owes the rewriting of the file."""
        return bool(self.writer.pragma("user_version"))

    def rewrite(self) -> None:
        """Writes the database file anew, without the gaps in which deleted data may be left.

        No other write can happen meanwhile. It takes once the file's size beside it for a temporary copy, and once more
        in the write-ahead log; little memory.
        """
        owed = self.writer.pragma("user_version")
        with temporary_files_beside(self.path, self._vfs) as vfs:
            db = _connected(self.path, vfs, apsw.SQLITE_OPEN_READWRITE)
            try:
                _set_up(db)
                db.pragma("temp_store", "file")
                db.execute("VACUUM")
            finally:
                db.close()
        with self.writer:
            if self.writer.pragma("user_version") == owed:  # no other process has deleted anything since
                self.writer.pragma("user_version", 0)

    def close(self) -> None:
        """Erases what a deletion still owes, empties the log and closes every connection; nobody may write now."""
        self._closed = True
        self._close_idle()
        with translated():
            try:
                # Another process of the group may be at it, or the disk is full; what is still owed then is noted in
                # the file.
                with suppress(apsw.BusyError, apsw.FullError):
                    if self.owes_rewriting():
                        self.rewrite()
                with suppress(apsw.BusyError):
                    self.empty_log()
            finally:
                self.writer.close()

    def _close_idle(self) -> None:
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return


def owe_rewriting(db: apsw.Connection) -> None:
    """Notes in the file, in the transaction of a deletion, that it must be rewritten."""
    db.pragma("user_version", db.pragma("user_version") % _MOST_OWED + 1)


def _make(path: Path) -> None:
    """An empty file for its owner alone, when there is none."""
    if path.exists():
        return
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        sync_directory(path.parent)
    except OSError as error:
        raise StorageError(
            "DATA_DIRECTORY_UNUSABLE",
            f"{path} cannot be made ({error.strerror}); make its directory writable for this user",
        ) from error


def _connected(path: Path, vfs: str, flags: int) -> apsw.Connection:
    db = apsw.Connection(str(path), flags=flags, vfs=vfs or None)
    db.set_busy_timeout(_BUSY_MS)
    db.pragma("temp_store", "memory")
    return db


def _prepare(writer: apsw.Connection) -> None:
    applied(writer)
    damage = writer.pragma("quick_check", 1)
    if damage != "ok":
        raise StorageError("STORAGE_DAMAGED", f"the store is damaged ({damage}); {_RESTORE}")
    if writer.pragma("journal_mode", "wal") != "wal":
        raise StorageError(
            "STORAGE_NO_WAL",
            f"{writer.filename} cannot keep a write-ahead log; put the data directory on a local disk",
        )
    _set_up(writer)
    migrate(writer)
    with suppress(apsw.BusyError):  # another process of the group reads; it costs nothing but space
        writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


def _set_up(writer: apsw.Connection) -> None:
    for name, value in (
        ("synchronous", "full"),
        ("secure_delete", "on"),
        ("foreign_keys", "on"),
        ("cache_size", -32_000),
    ):
        writer.pragma(name, value)
