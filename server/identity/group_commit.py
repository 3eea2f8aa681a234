"""The one thread that writes: whatever waits is committed together, one synchronisation for all of it."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import apsw

from server.errors import StorageError, StorageFullError, UnavailableError
from server.identity.erasure import Eraser
from server.identity.store import Store, translated

_logger = logging.getLogger(__name__)

_MOST: Final = 128
"""Writes in one transaction."""

_OWN_FAULT: Final = (apsw.ConstraintError, apsw.MismatchError, apsw.TooBigError, apsw.SQLError)
"""Errors of one write that leave the transaction as it was."""

_LASTING: Final = frozenset({"STORAGE_IO", "STORAGE_DAMAGED"})
"""Failures after which nobody can say what is durable."""

Answer = TypeVar("Answer")
Answer_co = TypeVar("Answer_co", covariant=True)
Change = TypeVar("Change")
Change_co = TypeVar("Change_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Answer_co, Change_co]):
    """What a write did.

    Attributes:
        answer: for its caller.
        changes: for everybody; published after the commit and before the answer.
        erases: True when something must not stay in the files.
    """

    answer: Answer_co
    changes: Sequence[Change_co] = ()
    erases: bool = False


@dataclass(frozen=True, slots=True)
class _Write(Generic[Change]):
    job: Callable[[apsw.Connection], Outcome[object, Change]]
    done: Future[object]


class GroupCommit(Generic[Change]):
    """Runs writes one after the other and commits those that wait together.

    Start it once, submit from any thread, stop it once. A write that raises changes nothing and doesn't disturb the
    others. After the disk failed under a commit nothing more is written until the store is opened again, because
    nobody can say what of it is durable.
    """

    def __init__(self, store: Store, publish: Callable[[Sequence[Change]], None]) -> None:
        self._store = store
        self._publish = publish
        self._waiting: queue.SimpleQueue[_Write[Change] | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._stopping = False
        self._broken: StorageError | None = None
        self._eraser = Eraser(store)
        self._thread = threading.Thread(target=self._run, name="gallery-writer", daemon=True)

    def start(self) -> None:
        """Starts the thread, which first erases what a process that died still owed."""
        with translated():
            if self._store.owes_rewriting():
                self._eraser.deleted()
        self._thread.start()

    def submit(self, job: Callable[[apsw.Connection], Outcome[Answer, Change]]) -> Answer:
        """Runs a write, waits until it is durable and published, and returns its answer.

        Args:
            job: gets the writing connection inside a transaction; may be run twice when the first transaction
                failed because of another write in it.

        Raises:
            UnavailableError: after `stop`.
            StorageError: when it could not be made durable.
        """
        return self.post(job).result()

    def post(self, job: Callable[[apsw.Connection], Outcome[Answer, Change]]) -> Future[Answer]:
        """As `submit`, without waiting: the future gets the answer, or the error, once the write is durable.

        Raises:
            UnavailableError: after `stop`.
        """
        done: Future[Answer] = Future()
        with self._gate:
            if self._stopping:
                raise UnavailableError("STORE_CLOSED", "the gallery is closed: the server is stopping")
            self._waiting.put(_Write(job, done))  # type: ignore[arg-type] # the job's own answer
        return done

    def erased(self, timeout_s: float) -> bool:
        """Waits until nothing of what was deleted is left in the files; False when that takes longer."""
        return self._eraser.finished(timeout_s)

    def stop(self) -> None:
        """Finishes what waits and ends the thread."""
        with self._gate:
            self._stopping = True
            self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                first = self._waiting.get(timeout=self._eraser.pause_s())
            except queue.Empty:
                self._eraser.erase()
                continue
            batch, ended = self._gather(first)
            if batch:
                self._commit(batch)
            if self._eraser.overdue():
                self._eraser.erase()
            if ended:
                return

    def _gather(self, first: _Write[Change] | None) -> tuple[list[_Write[Change]], bool]:
        batch: list[_Write[Change]] = []
        item = first
        while item is not None:
            batch.append(item)
            if len(batch) == _MOST:
                return batch, False
            try:
                item = self._waiting.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _commit(self, batch: list[_Write[Change]]) -> None:
        try:
            if self._broken:
                raise self._broken
            with translated():
                outcomes = self._transact(batch)
        except StorageError as error:
            self._failed(batch, error)
            return
        changes = [change for _, outcome in outcomes for change in outcome.changes]
        try:
            if changes:
                self._publish(changes)
        except Exception as error:
            self._broken = StorageError(
                "STORE_STALE", f"a change is stored but could not be shown ({error!r}); restart the server"
            )
            _logger.exception("publishing changes failed")
            self._failed([write for write, _ in outcomes], self._broken)
            return
        if any(outcome.erases for _, outcome in outcomes):
            self._eraser.deleted()
        for write, outcome in outcomes:
            write.done.set_result(outcome.answer)

    def _transact(self, batch: list[_Write[Change]]) -> list[tuple[_Write[Change], Outcome[object, Change]]]:
        """Outcomes of the writes that are durable now; those that raised have been told."""
        db = self._store.writer
        outcomes = []
        try:
            db.execute("BEGIN IMMEDIATE")
            for write in batch:
                try:
                    with _savepoint(db):
                        outcome = write.job(db)
                    outcomes.append((write, outcome))
                except apsw.Error as error:
                    if not isinstance(error, _OWN_FAULT):
                        raise
                    write.done.set_exception(StorageError("STORAGE_REFUSED", f"not stored: {error}"))
                except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to who asked
                    write.done.set_exception(error)
            db.execute("COMMIT")
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
        return outcomes

    def _failed(self, batch: list[_Write[Change]], error: StorageError) -> None:
        waiting = [write for write in batch if not write.done.done()]
        if isinstance(error, StorageFullError) and len(waiting) > 1:
            for write in waiting:  # one of them may be small enough, or delete something
                self._commit([write])
            return
        if not self._broken and error.reason in _LASTING:
            self._broken = error
            _logger.error("the store takes no more writes", extra={"reason": error.reason})
        for write in waiting:
            write.done.set_exception(error)


@contextmanager
def _savepoint(db: apsw.Connection) -> Iterator[None]:
    """Takes back what was done inside when it raises, unless SQLite has taken back everything already."""
    db.execute("SAVEPOINT write")
    try:
        yield
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK TO write; RELEASE write")
        raise
    db.execute("RELEASE write")
