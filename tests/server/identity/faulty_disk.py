"""A SQLite VFS whose disk fails on demand, and which counts synchronisations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import apsw


class FaultyDisk(apsw.VFS):
    """The system's own file access until told otherwise.

    Attributes:
        name: under which it is registered.
        full: True makes every write fail for want of space.
        fail_after: the number of writes and synchronisations that still succeed; None for all.
        log_syncs: how often the write-ahead log was made durable.
        full_for_copies: True lets only temporary files find no space.
        temporary: paths of the temporary files that were opened; empty for one whose place was left to SQLite.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, "")
        self.name = name
        self.full = False
        self.fail_after: int | None = None
        self.log_syncs = 0
        self.full_for_copies = False
        self.temporary: list[str] = []

    def xOpen(self, name: apsw.URIFilename | str | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        if flags[0] & apsw.SQLITE_OPEN_DELETEONCLOSE:
            self.temporary.append(str(name or ""))
        return _File(self, name, flags)

    def count_down(self) -> None:
        """One access to the disk that may fail.

        Raises:
            apsw.IOError: when the disk fails.
        """
        if self.fail_after is None:
            return
        if self.fail_after == 0:
            raise apsw.IOError("the disk failed on demand")
        self.fail_after -= 1


class _File(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, name: apsw.URIFilename | str | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        self._disk = disk
        self._is_log = path.endswith("-wal")
        self._is_copy = bool(flags[0] & apsw.SQLITE_OPEN_DELETEONCLOSE)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        if self._disk.full or (self._is_copy and self._disk.full_for_copies):
            raise apsw.FullError("no space on demand")
        self._disk.count_down()
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.count_down()
        super().xSync(flags)
        self._disk.log_syncs += self._is_log


@contextmanager
def faulty_disk(name: str = "faulty") -> Iterator[FaultyDisk]:
    """A registered disk."""
    disk = FaultyDisk(name)
    try:
        yield disk
    finally:
        disk.unregister()
