from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from server.domain import IdentityName
from server.errors import NotFoundError
from server.identity.gallery import Galleries
from tests.server.identity.crowd import GALLERY, change_log, enrol, unit

THREADS = 4
TURNS = 16


def run(*jobs: Callable[[], None]) -> None:
    """Runs the jobs at the same time; raises what any of them raised."""
    raised: list[BaseException] = []

    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            raised.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]


def test_searches_stay_right_while_people_come_and_go_and_the_index_folds(galleries: Galleries) -> None:
    fixed = unit(20, 1)
    steady = [enrol(galleries, f"Steady {n}", fixed[n : n + 1]).identity.name for n in range(20)]
    done = threading.Event()
    revisions: list[list[int]] = [[] for _ in range(THREADS)]

    def search(number: int) -> None:
        while not done.is_set():
            found = galleries.search(GALLERY, fixed, limit=3)
            assert [row[0].identity for row in found.candidates] == steady
            assert all(len(row) == len({c.identity for c in row}) == 3 for row in found.candidates)
            revisions[number].append(found.revision)

    def change(number: int) -> None:
        for turn in range(TURNS):
            vectors = unit(2, 1_000 + number * TURNS + turn)
            receipt = enrol(galleries, f"Guest {number} {turn}", vectors)
            seen = galleries.search(GALLERY, vectors, limit=1)
            assert [row[0].identity for row in seen.candidates] == [receipt.identity.name] * 2
            assert seen.revision >= receipt.revision
            if turn % 4:
                deleted = galleries.delete(IdentityName.parse(receipt.identity.name), at_ns=1)
                gone = galleries.search(GALLERY, vectors, limit=2)
                assert gone.revision >= deleted.revision
                assert all(c.identity != receipt.identity.name for row in gone.candidates for c in row)

    def change_all() -> None:
        try:
            run(*[lambda number=number: change(number) for number in range(THREADS)])
        finally:
            done.set()

    run(change_all, *[lambda number=number: search(number) for number in range(THREADS)])
    assert galleries.settle(30)
    numbers = galleries.statistics(GALLERY)
    assert numbers.identity_count == 20 + THREADS * TURNS // 4
    assert numbers.revision == 20 + THREADS * TURNS + THREADS * TURNS * 3 // 4
    assert all(seen == sorted(seen) for seen in revisions)
    assert [revision for revision, *_ in change_log(galleries)] == list(range(1, numbers.revision + 1))


def test_two_who_rename_and_delete_the_same_people_leave_each_either_renamed_or_gone(galleries: Galleries) -> None:
    names = [IdentityName.parse(enrol(galleries, f"Person {n}", unit(1, n)).identity.name) for n in range(30)]
    missing: list[NotFoundError] = []

    def rename() -> None:
        for name in names:
            try:
                galleries.rename(name, "Renamed", at_ns=2)
            except NotFoundError as error:
                missing.append(error)

    def delete() -> None:
        for name in reversed(names):
            if name.identity_id < "m":
                galleries.delete(name, at_ns=2)

    run(rename, delete)
    assert len(missing) <= 30
    left = galleries.list_page(GALLERY).identities
    assert [identity.name for identity in left] == [str(name) for name in names if name.identity_id >= "m"]
    assert {identity.display_name for identity in left} <= {"Renamed"}


def test_answers_of_many_threads_are_those_of_one(galleries: Galleries) -> None:
    for number in range(60):
        enrol(galleries, f"Person {number}", unit(1, number))
    assert galleries.settle(30)
    queries = unit(200, 7)
    alone = galleries.search(GALLERY, queries, limit=5)
    answers: list[bool] = []

    def ask(part: np.ndarray) -> None:
        for row in part:
            (candidates,) = galleries.search(GALLERY, queries[row : row + 1], limit=5).candidates
            answers.append(candidates == alone.candidates[row])

    run(*[lambda part=part: ask(part) for part in np.array_split(np.arange(200), 8)])
    assert len(answers) == 200
    assert all(answers)
