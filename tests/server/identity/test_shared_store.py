"""Whoever keeps something in the store hears of every change, in turn and before its write returns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.errors import UnavailableError
from server.identity.change import GalleryChange, StoreChange
from server.identity.group_commit import Outcome
from server.identity.shared_store import SharedStore
from server.identity.store import Store
from tests.server.identity.crowd import FINGERPRINT, GALLERY


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SharedStore]:
    shared = SharedStore(Store.open(tmp_path / "store.sqlite3"))
    shared.start()
    yield shared
    shared.close()


def change(revision: int) -> StoreChange:
    return GalleryChange(GALLERY, 1, revision, 1, FINGERPRINT, 1)


def test_who_listens_first_is_told_first_and_all_before_the_write_returns(store: SharedStore) -> None:
    heard: list[tuple[str, int]] = []
    for name in ("first", "second"):
        store.listen(lambda changes, name=name: heard.extend((name, each.revision) for each in changes))
    store.write(lambda db: Outcome(None, (change(1), change(2))))
    assert heard == [("first", 1), ("first", 2), ("second", 1), ("second", 2)]


def test_nobody_is_told_of_a_write_that_was_refused(store: SharedStore) -> None:
    heard: list[StoreChange] = []
    store.listen(heard.extend)

    def refused(db: object) -> Outcome[None, StoreChange]:
        raise UnavailableError("NOT_NOW", "not now")

    with pytest.raises(UnavailableError):
        store.write(refused)
    store.write(lambda db: Outcome(None))
    assert heard == []


def test_what_is_written_is_durable_when_listeners_hear_of_it(store: SharedStore) -> None:
    seen: list[int] = []

    def look(changes: object) -> None:
        with store.reading() as db:
            seen.append(db.pragma("user_version"))

    store.listen(look)
    with store.reading() as db:
        before = db.pragma("user_version")

    def raised(db) -> Outcome[None, StoreChange]:
        db.pragma("user_version", before + 1)
        return Outcome(None, (change(1),))

    store.write(raised)
    assert seen == [before + 1]


def test_closing_finishes_the_writes_that_wait(tmp_path: Path) -> None:
    shared = SharedStore(Store.open(tmp_path / "store.sqlite3"))
    shared.start()
    waiting = [shared.post(lambda db, number=number: Outcome(number)) for number in range(20)]
    shared.close()
    assert [future.result(timeout=0) for future in waiting] == list(range(20))
