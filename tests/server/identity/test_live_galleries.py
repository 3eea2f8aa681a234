"""Several processes share a data directory: what one writes, all of them find, and their memory is the store's."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from server.domain import GalleryName
from server.errors import DataDirectoryInUseError
from server.identity.directory import DataDirectory, Membership
from server.identity.gallery import Galleries
from server.identity.group_commit import Outcome
from server.identity.records import RequestStamp
from server.identity.store import owe_rewriting
from tests.server.identity.crowd import DIMENSION, FINGERPRINT, GALLERY, SMALL, enrol, name_of, template, unit
from tests.server.identity.waiting import SOON_S, soon


@pytest.fixture
def join(tmp_path: Path) -> Iterator[Callable[..., Galleries]]:
    """Opens the directory once more, as another process of the group would."""
    data = tmp_path / "data"
    held = DataDirectory.hold(data)
    opened: list[Galleries] = []

    def join_them(*, fingerprint: str = FINGERPRINT) -> Galleries:
        member = Membership.FOLLOWER if opened else Membership.KEEPER
        joined = DataDirectory.joined(data, os.dup(held.handle))
        opened.append(
            Galleries.open(data, fingerprint=fingerprint, dimension=DIMENSION, index=SMALL, joined=(joined, member))
        )
        return opened[-1]

    yield join_them
    for galleries in opened:
        galleries.close()
    held.release()


@pytest.fixture
def one(join: Callable[..., Galleries]) -> Galleries:
    return join()


@pytest.fixture
def other(one: Galleries, join: Callable[..., Galleries]) -> Galleries:
    return join()


def nearest(galleries: Galleries, vector: np.ndarray, gallery: GalleryName = GALLERY) -> str:
    """Name of the person at this very place; empty when nobody is there."""
    (found,) = galleries.search(gallery, vector[None], limit=1).candidates
    return found[0].display_name if found and found[0].distance < 1e-6 else ""


def test_who_is_enrolled_by_one_is_found_by_the_other(one: Galleries, other: Galleries) -> None:
    ada, bob = unit(2, seed=1)
    enrol(one, "Ada", ada[None])
    assert soon(lambda: nearest(other, ada) == "Ada")
    enrol(other, "Bob", bob[None])
    assert soon(lambda: nearest(one, bob) == "Bob")


def test_who_writes_finds_it_at_once_whatever_others_wrote_before(one: Galleries, other: Galleries) -> None:
    for number, vector in enumerate(unit(20, seed=2)):
        writer = (one, other)[number % 2]
        enrol(writer, f"P{number}", vector[None])
        assert nearest(writer, vector) == f"P{number}"


def test_a_rename_and_a_deletion_are_followed(one: Galleries, other: Galleries) -> None:
    (ada,) = unit(1, seed=3)
    name = name_of(enrol(one, "Ada", ada[None]))
    assert soon(lambda: nearest(other, ada) == "Ada")
    other.rename(name, "Ada Lovelace", at_ns=2)
    assert soon(lambda: nearest(one, ada) == "Ada Lovelace")
    one.delete(name, at_ns=3)
    assert soon(lambda: nearest(other, ada) == "")
    assert other.search(GALLERY, ada[None], limit=1).identity_count == 0


def test_more_photographs_of_somebody_are_followed(one: Galleries, other: Galleries) -> None:
    first, second = unit(2, seed=4)
    name = name_of(enrol(one, "Ada", first[None]))
    assert soon(lambda: nearest(other, first) == "Ada")
    other.enrol(GALLERY, identity=name, display_name="", templates=[template(second)], at_ns=2)
    assert soon(lambda: nearest(one, second) == "Ada")
    assert one.search(GALLERY, first[None], limit=5).identity_count == 1


def test_a_gallery_that_comes_into_being_elsewhere_is_found(one: Galleries, other: Galleries) -> None:
    (ada,) = unit(1, seed=5)
    lobby = GalleryName(gallery="lobby")
    enrol(one, "Ada", ada[None], lobby)
    assert soon(lambda: lobby in other.names())
    assert nearest(other, ada, lobby) == "Ada"


def test_a_write_that_is_repeated_through_another_process_is_done_once(one: Galleries, other: Galleries) -> None:

    (ada,) = unit(1, seed=6)
    stamp = RequestStamp("request", "digest")
    order = {"identity": None, "display_name": "Ada", "templates": [template(ada)], "request": stamp, "at_ns": 1}
    first = one.enrol(GALLERY, **order)
    again = other.enrol(GALLERY, **order)
    assert again.identity.name == first.identity.name
    assert soon(lambda: other.statistics(GALLERY).identity_count == 1)


def test_galleries_that_grow_graphs_stay_the_same(one: Galleries, other: Galleries) -> None:
    """Past the size at which an exact index becomes a graph, and back."""
    vectors = unit(40, seed=7)
    names = [name_of(enrol((one, other)[i % 2], f"P{i}", v[None])) for i, v in enumerate(vectors)]
    for galleries in (one, other):
        assert soon(lambda galleries=galleries: galleries.search(GALLERY, vectors[:1], limit=1).identity_count == 40)
        assert galleries.settle(SOON_S)
        assert [nearest(galleries, vector) for vector in vectors] == [f"P{i}" for i in range(40)]
    for i, name in enumerate(names[:30]):
        (one, other)[(i // 2) % 2].delete(name, at_ns=2)
    for galleries in (one, other):
        assert soon(lambda galleries=galleries: galleries.search(GALLERY, vectors[:1], limit=1).identity_count == 10)
        assert galleries.settle(SOON_S)
        assert [nearest(galleries, vector) for vector in vectors] == [""] * 30 + [f"P{i}" for i in range(30, 40)]


def test_only_the_keeper_writes_snapshots(one: Galleries, other: Galleries, tmp_path: Path) -> None:
    for number, vector in enumerate(unit(14, seed=8)):
        enrol(other, f"P{number}", vector[None])
    assert other.settle(SOON_S)
    assert soon(lambda: bool(list((tmp_path / "data").rglob("*.graph"))))
    assert one.settle(SOON_S)
    assert other._loader.keeps_snapshots is False


def test_what_is_deleted_leaves_the_files_while_others_read(one: Galleries, other: Galleries, tmp_path: Path) -> None:
    (ada,) = unit(1, seed=9)
    name = name_of(enrol(one, "Ada Unforgettable", ada[None]))
    one.delete(name, at_ns=2)
    assert one.settle(SOON_S)
    kept = b"".join(
        path.read_bytes() for path in (tmp_path / "data").glob("gallery.sqlite3*") if "shm" not in path.name
    )
    assert b"Unforgettable" not in kept
    assert ada.astype("<f4").tobytes() not in kept


def test_what_a_process_that_died_owed_is_erased_by_the_next_that_joins(
    one: Galleries, join: Callable[..., Galleries]
) -> None:
    one.store.write(lambda db: Outcome(owe_rewriting(db)))
    other = join()
    assert other.settle(SOON_S)
    assert not other.store.write(lambda db: Outcome(db.pragma("user_version")))


def test_a_process_may_close_while_another_writes(one: Galleries, other: Galleries) -> None:
    """It can't erase then what is owed; whoever opens or closes the store next does it."""
    other.store.write(lambda db: Outcome(owe_rewriting(db)))
    other.store.write(lambda db: Outcome(db.set_busy_timeout(1)))
    inside, finish = threading.Event(), threading.Event()

    def long_write(db) -> Outcome[None, object]:
        inside.set()
        assert finish.wait(SOON_S)
        return Outcome(None)

    writing = threading.Thread(target=one.store.write, args=(long_write,))
    writing.start()
    assert inside.wait(SOON_S)
    other.close()
    finish.set()
    writing.join()
    assert one.store.write(lambda db: Outcome(db.pragma("user_version"))) == 1


def test_a_second_group_is_refused(one: Galleries, tmp_path: Path) -> None:
    with pytest.raises(DataDirectoryInUseError):
        Galleries.open(tmp_path / "data", fingerprint=FINGERPRINT, dimension=DIMENSION)


def test_another_history_is_loaded_anew(one: Galleries, other: Galleries, caplog: pytest.LogCaptureFixture) -> None:
    """As if the file had been replaced by a backup that has the same revisions with other people."""
    ada, eve = unit(2, seed=10)
    enrol(one, "Ada", ada[None])
    assert soon(lambda: nearest(other, ada) == "Ada")
    one.store.write(lambda db: _rewritten(db, eve))
    assert soon(lambda: nearest(other, eve) == "Eve")
    assert "loaded anew" in caplog.text


def _rewritten(db, eve):
    db.execute("UPDATE identities SET display_name = 'Eve'")
    db.execute("UPDATE templates SET embedding = ?", (eve.astype("<f4").tobytes(),))
    db.execute("UPDATE changes SET stamp = stamp + 1")
    db.execute("INSERT INTO changes SELECT gallery_key, 2, kind, identity_id, 7, at_ns FROM changes")
    db.execute("UPDATE galleries SET revision = 2")
    return Outcome(None)
