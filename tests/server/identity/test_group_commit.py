from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from server.domain import IdentityName
from server.errors import InvalidInputError, NotFoundError, StorageError, StorageFullError, UnavailableError
from server.identity.change import StoreChange
from server.identity.gallery import Galleries
from server.identity.group_commit import Outcome
from server.identity.records import NewPerson
from tests.server.identity.conftest import Opener
from tests.server.identity.crowd import GALLERY, enrol, template, unit
from tests.server.identity.faulty_disk import FaultyDisk, faulty_disk


@pytest.fixture
def disk() -> Iterator[FaultyDisk]:
    with faulty_disk() as disk:
        yield disk


@pytest.fixture
def on_disk(disk: FaultyDisk, open_galleries: Opener) -> Iterator[Galleries]:
    galleries = open_galleries(vfs=disk.name)
    yield galleries
    disk.full, disk.fail_after = False, None
    galleries.close()


GALLERY_IDENTITY = IdentityName(GALLERY, "nobody")


def names(galleries: Galleries) -> list[str]:
    return [identity.display_name for identity in galleries.list_page(GALLERY).identities]


def test_no_write_is_acknowledged_before_the_log_is_synchronised(disk: FaultyDisk, on_disk: Galleries) -> None:
    for number in range(10):
        before = disk.log_syncs
        enrol(on_disk, f"Person {number}", unit(1, number))
        assert disk.log_syncs > before


def test_writes_that_wait_together_share_a_synchronisation(disk: FaultyDisk, on_disk: Galleries) -> None:
    start = threading.Barrier(32)

    def work(number: int) -> None:
        start.wait()
        for turn in range(4):
            enrol(on_disk, f"Person {number}.{turn}", unit(1, 4 * number + turn))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(32)]
    before = disk.log_syncs
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert on_disk.statistics(GALLERY).identity_count == 128
    assert disk.log_syncs - before < 128


def test_a_refused_write_does_not_disturb_those_committed_with_it(on_disk: Galleries) -> None:
    victim = on_disk.list_page(GALLERY).identities
    assert victim == ()
    start = threading.Barrier(16)
    refused: list[Exception] = []

    def work(number: int) -> None:
        start.wait()
        if number % 2:
            enrol(on_disk, f"Person {number}", unit(1, number))
            return
        try:
            on_disk.delete(GALLERY_IDENTITY, at_ns=1)
        except NotFoundError as error:
            refused.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 8
    assert len(names(on_disk)) == 8


def test_a_full_disk_refuses_writes_keeps_answering_and_recovers(disk: FaultyDisk, on_disk: Galleries) -> None:
    ada = unit(1, 1)
    enrol(on_disk, "Ada", ada)
    disk.full = True
    with pytest.raises(StorageFullError, match="free some"):
        enrol(on_disk, "Bob", unit(1, 2))
    assert on_disk.search(GALLERY, ada, limit=1).candidates[0][0].display_name == "Ada"
    assert names(on_disk) == ["Ada"]
    disk.full = False
    enrol(on_disk, "Cleo", unit(1, 3))
    assert names(on_disk) == ["Ada", "Cleo"]


def test_a_full_disk_fails_every_one_of_the_writes_that_waited(disk: FaultyDisk, on_disk: Galleries) -> None:
    disk.full = True
    start = threading.Barrier(8)
    failed: list[Exception] = []

    def work(number: int) -> None:
        start.wait()
        try:
            enrol(on_disk, f"Person {number}", unit(1, number))
        except StorageFullError as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failed) == 8
    disk.full = False
    assert names(on_disk) == []


@pytest.mark.parametrize("nth", range(8))
def test_after_the_disk_failed_nothing_is_written_until_the_store_is_opened_again(
    disk: FaultyDisk, open_galleries: Opener, nth: int
) -> None:
    galleries = open_galleries(vfs=disk.name)
    acknowledged = ["Ada"]
    enrol(galleries, "Ada", unit(1, 0))
    disk.fail_after = nth
    tried = []
    with pytest.raises(StorageError) as first:  # noqa: PT012 - whichever of them meets the fault
        for number in range(20):
            tried = [f"Person {number}"]
            enrol(galleries, tried[0], unit(1, number + 1))
            acknowledged += tried
    assert first.value.reason == "STORAGE_IO"
    disk.fail_after = None
    with pytest.raises(StorageError, match="restart"):
        enrol(galleries, "Too late", unit(1, 50))
    assert galleries.search(GALLERY, unit(1, 0), limit=1).candidates[0][0].display_name == "Ada"
    galleries.close()
    again = open_galleries(vfs=disk.name)
    assert names(again) in (acknowledged, acknowledged + tried)
    again.close()


def test_an_import_that_meets_a_full_disk_leaves_whole_transactions(disk: FaultyDisk, on_disk: Galleries) -> None:
    crowd = [NewPerson(f"Person {n}", (template(v),)) for n, v in enumerate(unit(10, 1))]
    disk.full = True
    with pytest.raises(StorageFullError):
        on_disk.enrol_many(GALLERY, crowd, at_ns=1)
    disk.full = False
    assert names(on_disk) == []
    assert len(on_disk.enrol_many(GALLERY, crowd, at_ns=1).names) == 10


def test_a_write_after_closing_is_unavailable(galleries: Galleries) -> None:
    galleries.close()
    with pytest.raises(UnavailableError):
        enrol(galleries, "Ada", unit(1, 0))


def test_a_fault_in_one_write_reaches_who_asked_and_the_thread_lives_on(galleries: Galleries) -> None:
    with pytest.raises(InvalidInputError):
        galleries.rename(GALLERY_IDENTITY, "", at_ns=1)
    with pytest.raises(TypeError, match="binding"):
        galleries.enrol(
            GALLERY, identity=None, display_name="Ada", templates=[template(unit(1, 0)[0], photo=object())], at_ns=1
        )
    enrol(galleries, "Bob", unit(1, 1))
    assert names(galleries) == ["Bob"]


def test_a_disk_that_fills_up_in_the_middle_of_a_large_write_takes_the_whole_write_back(
    disk: FaultyDisk, on_disk: Galleries
) -> None:
    enrol(on_disk, "Ada", unit(1, 1))
    disk.full = True
    large = [template(v, crop=bytes(5_000_000)) for v in unit(12, 2)]  # more than SQLite keeps in memory
    with pytest.raises(StorageFullError):
        on_disk.enrol(GALLERY, identity=None, display_name="Large", templates=large, at_ns=1)
    disk.full = False
    assert names(on_disk) == ["Ada"]
    enrol(on_disk, "Bob", unit(1, 3))
    assert names(on_disk) == ["Ada", "Bob"]


def test_a_write_that_is_not_waited_for_is_done_in_its_turn(galleries: Galleries) -> None:
    order: list[str] = []

    def job(name: str):
        def run(db: object) -> Outcome[str, StoreChange]:
            del db
            order.append(name)
            return Outcome(name)

        return run

    first = galleries.store.post(job("first"))
    assert galleries.store.write(job("second")) == "second"
    assert first.done()
    assert (first.result(), order) == ("first", ["first", "second"])
