"""The data directory: one server at a time, readable by its owner alone.

A server of several processes holds it as a group: one takes the lock, the others inherit its descriptor.
"""

from __future__ import annotations

import fcntl
import os
from enum import Enum
from pathlib import Path

from server.errors import DataDirectoryInUseError, StorageError


class Membership(Enum):
    """Who a process is among those that share a data directory."""

    ALONE = "alone"
    KEEPER = "keeper"
    """One of several; it checks and migrates the store at its start, before the others, and keeps the snapshots."""

    FOLLOWER = "follower"


class DataDirectory:
    """A directory that this process holds until it is released or the process ends.

    Attributes:
        path: the directory.
    """

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle = handle

    @staticmethod
    def hold(path: Path) -> DataDirectory:
        """Makes the directory when it isn't there, and locks it.

        Raises:
            DataDirectoryInUseError: when somebody else holds it.
            StorageError: when it cannot be made or written to.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(
                "DATA_DIRECTORY_UNUSABLE",
                f"data directory {path} cannot be used ({error.strerror}); give a directory that this user may write",
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(handle, 20, 0).decode(errors="replace").strip() or "unknown"
            os.close(handle)
            raise DataDirectoryInUseError(
                "DATA_DIRECTORY_IN_USE",
                f"data directory {path} is held by another server (process {holder}); stop that one, or give this "
                "one a data directory of its own",
                metadata={"process": holder},
            ) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        return DataDirectory(path, handle)

    @staticmethod
    def joined(path: Path, handle: int) -> DataDirectory:
        """The directory that this process's parent holds, through the lock's descriptor that was inherited from it.

        The lock is free when the last process of the group has let go of it.
        """
        os.set_inheritable(handle, False)
        return DataDirectory(path, handle)

    @property
    def handle(self) -> int:
        """Descriptor of the lock, for processes that shall join."""
        return self._handle

    def release(self) -> None:
        """Lets others hold the directory."""
        os.close(self._handle)
