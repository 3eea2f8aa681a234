"""Getting what was deleted out of the files.

SQLite's secure_delete zeroes a deleted cell where it lies, but balancing the trees has now and then left a copy in the
gap of another page (seen for 10 of 3,000 rows), and the write-ahead log holds pages from before. So the log is emptied
right after a deletion, and the database file is rewritten without gaps (VACUUM: a second for 100,000 people, some ten
for each GB) as soon as nobody writes, at the latest half a minute later, or when the store is closed. What a process
that died still owed is noted in the file, and is done in the background once the store is open again.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from server.errors import StorageBusyError, StorageError
from server.identity.store import Store, translated

_logger = logging.getLogger(__name__)

_LOG_AGAIN_S: Final = 0.05
"""Between two attempts to empty the log while a reader holds it."""

_QUIET_S: Final = 0.1
"""Without a write before the file is rewritten."""

_LATEST_S: Final = 30.0
"""After a deletion the file is rewritten even while others write; and between attempts that fail."""

_BUSY_AGAIN_S: Final = 1.0
"""Between two attempts while another process has the file; it may be rewriting it, and then nothing is owed."""


class Eraser:
    """What is still to be erased. For the writing thread alone, but for `finished`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._log_owed = False
        self._file_owed_since: float | None = None
        self._not_before = 0.0
        self._nothing_owed = threading.Event()
        self._nothing_owed.set()

    def pause_s(self) -> float | None:
        """How long the writing thread may wait for a write before it calls `erase`; None for ever."""
        if self._log_owed:
            return _LOG_AGAIN_S
        if self._file_owed_since is None:
            return None
        return max(_QUIET_S, self._not_before - time.monotonic())

    def deleted(self) -> None:
        """Takes note of a committed deletion and empties the log, unless a reader still needs it."""
        self._nothing_owed.clear()
        if self._file_owed_since is None:
            self._file_owed_since = time.monotonic()
        self._log_owed = True
        self._empty_log()

    def overdue(self) -> bool:
        """True when waiting for quiet has taken too long."""
        since, now = self._file_owed_since, time.monotonic()
        return since is not None and now - since > _LATEST_S and now >= self._not_before

    def erase(self) -> None:
        """Does what is owed."""
        if self._log_owed:
            self._empty_log()
        elif self._file_owed_since is not None and time.monotonic() >= self._not_before:
            self._rewrite()

    def finished(self, timeout_s: float) -> bool:
        """Waits until nothing is owed; False when that takes longer. For any thread."""
        return self._nothing_owed.wait(timeout_s)

    def _empty_log(self) -> None:
        try:
            with translated():
                self._log_owed = not self._store.empty_log()
        except StorageError:
            _logger.exception("the write-ahead log could not be emptied")
        if not self._log_owed and self._file_owed_since is None:
            self._nothing_owed.set()

    def _rewrite(self) -> None:
        try:
            with translated():
                if self._store.owes_rewriting():  # unless another process has done it
                    self._store.rewrite()
        except StorageBusyError:
            self._not_before = time.monotonic() + _BUSY_AGAIN_S
            _logger.info("another process has the database file; rewriting it is tried again in %g s", _BUSY_AGAIN_S)
            return
        except StorageError:
            self._not_before = time.monotonic() + _LATEST_S
            _logger.exception("the database file could not be rewritten; deleted data may be left in its gaps")
            return
        self._file_owed_since, self._log_owed = None, True
        self._empty_log()
