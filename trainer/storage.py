"""Writes files so that the old content or the new one is there, and says why where that is impossible."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from server.errors import StorageError, StorageFullError


class WriteBytes(Protocol):
    """Puts bytes into a new file and onto the disk."""

    def __call__(self, path: Path, content: bytes) -> None:
        """Writes all of them or raises OSError."""
        ...


def write_bytes(path: Path, content: bytes) -> None:
    """Puts bytes into a new file and onto the disk, or raises OSError."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, content: bytes, *, what: str, write: WriteBytes = write_bytes) -> None:
    """Replaces a file at once: whatever happens, it holds the old content or the new.

    Args:
        path: the file.
        content: of the file.
        what: it is, in words, such as "the checkpoint".
        write: puts the bytes onto the disk.

    Raises:
        StorageFullError: DISK_FULL; the old file is untouched.
        StorageError: FILE_NOT_WRITTEN when it cannot be written otherwise; likewise.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        write(unfinished, content)
        unfinished.replace(path)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        kept = "the one before is untouched" if path.exists() else "there is none yet"
        raise not_written(path, error, what=f"{what} ({len(content) / 1e6:.1f} MB)", kept=kept) from error


def not_written(path: Path, error: OSError, *, what: str, kept: str = "") -> StorageError:
    """The error that says that a run's file cannot be written.

    Args:
        path: the file or folder.
        error: what the system said.
        what: it is, in words.
        kept: what is there instead, in words.
    """
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    kind, reason = (StorageFullError, "DISK_FULL") if full else (StorageError, "FILE_NOT_WRITTEN")
    still = f"; {kept}" if kept else ""
    remedy = "free some space and resume" if full else "see that the folder can be written, and resume"
    return kind(reason, f"{what} cannot be written to {path}: {error.strerror or error}{still}; {remedy}")
