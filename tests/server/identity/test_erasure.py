"""After a deletion nothing of the person is left in any file of the data directory."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from server.domain import IdentityName
from server.errors import StorageBusyError
from server.identity.erasure import Eraser
from server.identity.gallery import Galleries
from server.identity.records import NewTemplate, RequestStamp
from tests.server.identity.conftest import Opener
from tests.server.identity.crowd import GALLERY, QUALITY, enrol, unit


def traces(number: int) -> list[bytes]:
    """Byte strings that only one person's data hold."""
    vectors = unit(2, 1_000 + number)
    return [
        f"Zyx{number}Name".encode(),
        f"zyx{number}name".encode(),
        f"Other{number}Name".encode(),
        f"source{number}.jpg".encode(),
        f"photo{number}".encode() * 5,
        f"crop{number}crop".encode() * 4,
        f"payload{number}".encode() * 20,
        *(vector[start : start + 4].tobytes() for vector in vectors for start in range(0, 16, 4)),
    ]


def enrol_traceable(galleries: Galleries, number: int) -> IdentityName:
    vectors, held = unit(2, 1_000 + number), traces(number)
    templates = [NewTemplate(v, QUALITY, held[3].decode(), held[4].decode(), held[5] * 200) for v in vectors]
    receipt = galleries.enrol(
        GALLERY,
        identity=None,
        display_name=held[0].decode(),
        templates=templates,
        request=RequestStamp(f"enrol-{number}", "digest", held[6]),
        at_ns=1,
    )
    return IdentityName.parse(receipt.identity.name)


def leaks(folder: Path, numbers: range) -> list[tuple[str, bytes]]:
    files = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return [
        (name, trace[:24])
        for name, data in files.items()
        for number in numbers
        for trace in traces(number)
        if trace in data
    ]


def test_the_search_for_traces_finds_somebody_who_is_there(galleries: Galleries, tmp_path: Path) -> None:
    enrol_traceable(galleries, 0)
    found = {trace for _, trace in leaks(tmp_path, range(1))}
    assert found >= {trace[:24] for trace in traces(0) if not trace.startswith(b"Other")}


@pytest.mark.parametrize("others", [0, 5, 200])
def test_nothing_of_a_deleted_person_is_left_in_any_file(open_galleries: Opener, tmp_path: Path, others: int) -> None:
    galleries = open_galleries()
    names = []
    for number in range(12):
        names.append(enrol_traceable(galleries, number))
        for other in range(others // 12):
            enrol(galleries, f"Somebody {number} {other}", unit(1, 50_000 + number * 100 + other))
    galleries.rename(names[3], "Other3Name", request=RequestStamp("rename-3", "d"), at_ns=2)
    assert galleries.settle(30)
    order = np.random.default_rng(others).permutation(12)
    for number in order[:6]:
        galleries.delete(names[number], at_ns=3)
    assert galleries.settle(30)
    for number in order[:6]:
        assert leaks(tmp_path, range(number, number + 1)) == []  # while the server runs
    for number in order[6:]:
        galleries.delete(names[number], at_ns=3)
    assert galleries.settle(30)
    assert leaks(tmp_path, range(12)) == []
    galleries.close()
    assert leaks(tmp_path, range(12)) == []


def test_the_log_is_emptied_even_when_a_reader_held_it_during_the_deletion(
    galleries: Galleries, tmp_path: Path
) -> None:
    name = enrol_traceable(galleries, 0)
    # A listing in progress; there is no public call that stays inside one.
    with galleries.store.reading() as db:
        assert db.execute("SELECT count(*) FROM identities").get == 1
        galleries.delete(name, at_ns=2)
    assert galleries.settle(30)
    assert leaks(tmp_path, range(1)) == []


def test_a_receipt_remains_and_names_nobody(galleries: Galleries, tmp_path: Path) -> None:
    name = enrol_traceable(galleries, 0)
    galleries.delete(name, request=RequestStamp("delete-0", "d"), at_ns=2)
    replay = galleries.replay("delete-0", "d")
    assert replay is not None
    assert replay.receipt.template_count == 2
    assert galleries.settle(30)
    assert leaks(tmp_path, range(1)) == []


def test_a_deletion_right_before_closing_is_erased_too(open_galleries: Opener, tmp_path: Path) -> None:
    galleries = open_galleries()
    names = [enrol_traceable(galleries, number) for number in range(8)]
    for name in names[::2]:
        galleries.delete(name, at_ns=2)
    galleries.close()
    assert [leak for number in range(0, 8, 2) for leak in leaks(tmp_path, range(number, number + 1))] == []


def test_what_a_killed_server_did_not_erase_is_erased_after_opening(open_galleries: Opener, tmp_path: Path) -> None:
    galleries = open_galleries()
    names = [enrol_traceable(galleries, number) for number in range(8)]
    galleries.close()
    code = (
        "import os, sys; from pathlib import Path; from server.domain import IdentityName\n"
        "from server.identity.gallery import Galleries\n"
        "from tests.server.identity.crowd import DIMENSION, FINGERPRINT, SMALL\n"
        "galleries = Galleries.open(Path(sys.argv[1]), fingerprint=FINGERPRINT, dimension=DIMENSION, index=SMALL)\n"
        "for name in sys.argv[2:]: galleries.delete(IdentityName.parse(name), at_ns=2)\n"
        "os._exit(9)\n"
    )
    gone = [str(name) for name in names[:5]]
    child = subprocess.run([sys.executable, "-c", code, str(tmp_path / "data"), *gone], check=False)
    assert child.returncode == 9
    assert open_galleries().settle(30)
    assert leaks(tmp_path, range(5)) == []


class HeldOnce:
    """A store whose file another process has during the first attempt to rewrite it."""

    attempts = 0

    def owes_rewriting(self) -> bool:
        return True

    def empty_log(self) -> bool:
        return True

    def rewrite(self) -> None:
        self.attempts += 1
        if self.attempts == 1:
            raise StorageBusyError("STORAGE_BUSY", "another process has the file")


def test_a_file_that_another_process_has_is_rewritten_a_moment_later() -> None:
    eraser = Eraser(HeldOnce())  # type: ignore[arg-type] # all that it needs of a store
    eraser.deleted()
    eraser.erase()
    assert not eraser.finished(0)
    pause_s = eraser.pause_s()
    assert pause_s is not None
    assert pause_s <= 1
    time.sleep(pause_s)
    eraser.erase()
    assert eraser.finished(0)
