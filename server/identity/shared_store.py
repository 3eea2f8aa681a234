"""One store for all who keep something in it: one thread writes, anybody reads, and listeners hear of changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager

import apsw

from server.identity.change import StoreChange
from server.identity.group_commit import Answer, GroupCommit, Outcome
from server.identity.store import Store

Listener = Callable[[Sequence[StoreChange]], None]


class SharedStore:
    """A store with its writing thread. Start it once, use it from any thread, close it once.

    Args:
        store: closed with this.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._commits: GroupCommit[StoreChange] = GroupCommit(store, self._publish)
        self._listeners: list[Listener] = []

    def start(self) -> None:
        """Starts the writing thread (`GroupCommit.start`)."""
        self._commits.start()

    def close(self) -> None:
        """Finishes the writes that wait, ends the thread and closes the store."""
        self._commits.stop()
        self._store.close()

    def listen(self, listener: Listener) -> None:
        """Has changes told to a function: on the writing thread, once they are durable, before their writes return.

        Who listens first is told first.
        """
        self._listeners.append(listener)

    def write(self, job: Callable[[apsw.Connection], Outcome[Answer, StoreChange]]) -> Answer:
        """Runs a write and waits until it is durable and published (`GroupCommit.submit`)."""
        return self._commits.submit(job)

    def post(self, job: Callable[[apsw.Connection], Outcome[Answer, StoreChange]]) -> Future[Answer]:
        """Runs a write without waiting for it (`GroupCommit.post`)."""
        return self._commits.post(job)

    def reading(self) -> AbstractContextManager[apsw.Connection]:
        """A connection that sees one state of the store (`Store.reading`)."""
        return self._store.reading()

    def erased(self, timeout_s: float) -> bool:
        """Waits until nothing of what was deleted is left in the files (`GroupCommit.erased`)."""
        return self._commits.erased(timeout_s)

    def _publish(self, changes: Sequence[StoreChange]) -> None:
        for listener in self._listeners:
            listener(changes)
