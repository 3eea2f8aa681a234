"""SQLite's temporary files beside the database, so that a copy of it never lies in memory or on a foreign disk."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

_NUMBERS: Final = itertools.count(1)


class _Beside(apsw.VFS):
    """Another VFS, whose temporary files are in a directory of our choice.

    SQLite itself looks for a place only once a process, among /var/tmp, /tmp and the like, which may be small, memory,
    or read by others. SQLite opens a temporary file under a name that is removed at once: whatever happens to the
    process, nothing that was written to it can be found afterwards.
    """

    def __init__(self, name: str, base: str, folder: Path) -> None:
        super().__init__(name, base)
        self._base = base
        self._folder = folder

    def xOpen(self, name: apsw.URIFilename | str | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        return apsw.VFSFile(self._base, name or self._unused(), flags)

    def _unused(self) -> str:
        return str(self._folder / f"temporary-{os.getpid()}-{next(_NUMBERS)}")


@contextmanager
def temporary_files_beside(path: Path, vfs: str = "") -> Iterator[str]:
    """The name of a VFS that is registered meanwhile; each access through it costs some Python.

    Args:
        path: of the database in whose directory temporary files are to be.
        vfs: name of the VFS that does the work; empty for the system's own.
    """
    name = f"beside-{next(_NUMBERS)}"
    beside = _Beside(name, vfs, path.parent)
    try:
        yield name
    finally:
        beside.unregister()
