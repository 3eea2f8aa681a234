from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import apsw
import numpy as np
import pytest

from server.domain import GalleryName, IdentityName
from server.identity.gallery import Galleries
from server.identity.graph_state import GraphShape
from server.identity.records import NewPerson
from server.identity.snapshot import read_snapshot, write_snapshot
from tests.server.identity.conftest import Opener
from tests.server.identity.crowd import GALLERY, SMALL, enrol, template, unit

COUNT = 60


@pytest.fixture
def filled(open_galleries: Opener) -> list[str]:
    """A closed gallery of 60 people with a snapshot; their names."""
    galleries = open_galleries()
    people = [NewPerson(f"Person {n}", (template(v),)) for n, v in enumerate(unit(COUNT, 1))]
    names = list(galleries.enrol_many(GALLERY, people, at_ns=1).names)
    assert galleries.settle(30)
    galleries.close()
    return names


@pytest.fixture
def snapshot(tmp_path: Path, filled: list[str]) -> Path:
    """The file of the graph."""
    (path,) = (tmp_path / "data" / "index").iterdir()
    return path


def assert_everybody_is_found(galleries: Galleries, names: list[str]) -> None:
    found = galleries.search(GALLERY, unit(COUNT, 1), limit=1)
    assert [row[0].identity for row in found.candidates] == names
    assert all(row[0].distance == 0 for row in found.candidates)


def test_a_good_snapshot_is_used(open_galleries: Opener, filled: list[str], snapshot: Path) -> None:
    before = snapshot.stat()
    galleries = open_galleries()
    numbers = galleries.statistics(GALLERY)
    assert (numbers.index_base_count, numbers.index_problem) == (COUNT, "")
    assert_everybody_is_found(galleries, filled)
    assert snapshot.stat().st_mtime_ns == before.st_mtime_ns


def test_what_came_after_the_snapshot_lies_beside_the_graph(
    open_galleries: Opener, filled: list[str], snapshot: Path
) -> None:
    galleries = open_galleries()
    late = enrol(galleries, "Late", unit(1, 99))
    galleries.close()
    galleries = open_galleries()
    assert galleries.statistics(GALLERY).index_delta_count == 1
    assert galleries.search(GALLERY, unit(1, 99), limit=1).candidates[0][0].identity == late.identity.name
    assert_everybody_is_found(galleries, filled)


def test_holes_that_deleted_people_left_in_the_snapshot_are_never_found_and_hide_nobody(
    open_galleries: Opener, filled: list[str], snapshot: Path
) -> None:
    galleries = open_galleries()
    for name in filled[:10]:
        galleries.delete(IdentityName.parse(name), at_ns=2)
    galleries.close()
    galleries = open_galleries()
    numbers = galleries.statistics(GALLERY)
    assert (numbers.index_base_count, numbers.index_problem) == (COUNT - 10, "")
    found = galleries.search(GALLERY, unit(COUNT, 1), limit=60)
    assert all({c.identity for c in row} == set(filled[10:]) for row in found.candidates)
    assert [row[0].identity for row in found.candidates[10:]] == filled[10:]


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda path: path.unlink(), "there is none"),
        (lambda path: path.write_bytes(b""), "no snapshot"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "checksum"),
        (lambda path: path.write_bytes(b"FSGRAPH0" + path.read_bytes()[8:]), "no snapshot"),
    ],
)
def test_a_damaged_snapshot_is_named_replaced_and_nobody_is_missed_meanwhile(
    open_galleries: Opener, filled: list[str], snapshot: Path, damage: object, problem: str
) -> None:
    good = snapshot.read_bytes()
    damage(snapshot)
    galleries = open_galleries()
    assert_everybody_is_found(galleries, filled)
    assert galleries.settle(30)
    assert_everybody_is_found(galleries, filled)
    galleries.close()
    assert len(snapshot.read_bytes()) >= len(good) - 8  # the revision and the stamp vary in length
    assert open_galleries().statistics(GALLERY).index_base_count == COUNT


def test_the_trouble_with_a_snapshot_is_told_until_it_is_replaced(
    open_galleries: Opener, filled: list[str], snapshot: Path
) -> None:
    snapshot.write_bytes(b"junk")
    galleries = open_galleries(index=replace(SMALL, exact_limit=COUNT))  # small enough to need no graph
    assert "no snapshot" in galleries.statistics(GALLERY).index_problem
    assert_everybody_is_found(galleries, filled)


def edited(path: Path, **header: object) -> None:
    snapshot = read_snapshot(path)
    write_snapshot(path, replace(snapshot, header=replace(snapshot.header, **header)))


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda path: edited(path, gallery="tenants/default/galleries/other"), "it is of tenants"),
        (lambda path: edited(path, fingerprint="other"), "models other"),
        (lambda path: edited(path, revision=COUNT + 5), "change log"),
        (lambda path: edited(path, stamp=1), "change log"),
        (
            lambda path: write_snapshot(path, replace(read_snapshot(path), keys=np.arange(1_000, 1_000 + COUNT))),
            "lacks templates",
        ),
        (
            lambda path: write_snapshot(path, replace(read_snapshot(path), keys=np.zeros(COUNT, np.int64))),
            "don't ascend",
        ),
        (
            lambda path: write_snapshot(
                path,
                replace(read_snapshot(path), state=replace(read_snapshot(path).state, entry=COUNT)),
            ),
            "contradict",
        ),
        (
            lambda path: write_snapshot(
                path,
                replace(read_snapshot(path), state=replace(read_snapshot(path).state, shape=GraphShape(8, 4, 40))),
            ),
            "built as",
        ),
    ],
)
def test_a_sound_snapshot_of_something_else_is_not_used(
    open_galleries: Opener, filled: list[str], snapshot: Path, edit: object, problem: str
) -> None:
    edit(snapshot)
    galleries = open_galleries(index=replace(SMALL, exact_limit=COUNT))
    assert problem in galleries.statistics(GALLERY).index_problem
    assert_everybody_is_found(galleries, filled)


def test_a_snapshot_built_with_other_settings_is_rebuilt(
    open_galleries: Opener, filled: list[str], snapshot: Path
) -> None:
    galleries = open_galleries(index=replace(SMALL, links=6))
    assert galleries.settle(30)
    galleries.close()
    assert read_snapshot(snapshot).state.shape.links == 6


def test_a_snapshot_newer_than_a_restored_backup_is_not_used(
    open_galleries: Opener, filled: list[str], snapshot: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copy(data / "gallery.sqlite3", tmp_path / "backup")
    galleries = open_galleries()
    for number in range(20):
        enrol(galleries, "Lost with the restore", unit(1, 200 + number))
    assert galleries.settle(30)
    galleries.close()
    shutil.copy(tmp_path / "backup", data / "gallery.sqlite3")
    galleries = open_galleries(index=replace(SMALL, exact_limit=COUNT + 20))
    # the same keys and revisions as in the lost history, for other people
    others = [enrol(galleries, f"Other {n}", unit(1, 300 + n)).identity.name for n in range(20)]
    galleries.close()
    galleries = open_galleries(index=replace(SMALL, exact_limit=COUNT + 20))
    assert "change log" in galleries.statistics(GALLERY).index_problem
    found = galleries.search(GALLERY, np.concatenate([unit(1, 300 + n) for n in range(20)]), limit=1)
    assert [row[0].identity for row in found.candidates] == others
    assert_everybody_is_found(galleries, filled)


def test_a_half_written_snapshot_of_a_killed_server_is_swept_away(
    open_galleries: Opener, filled: list[str], snapshot: Path
) -> None:
    snapshot.with_suffix(".tmp").write_bytes(b"half")
    open_galleries()
    assert not snapshot.with_suffix(".tmp").exists()


def test_a_snapshot_that_cannot_be_written_fails_no_enrolment_and_keeps_the_good_one(
    open_galleries: Opener, filled: list[str], snapshot: Path
) -> None:
    good = snapshot.read_bytes()
    galleries = open_galleries()
    snapshot.with_suffix(".tmp").mkdir()  # in the way
    for number in range(20):
        enrol(galleries, f"More {number}", unit(1, 400 + number))
    assert galleries.settle(30)
    assert "index not folded or not kept" in galleries.statistics(GALLERY).index_problem
    assert snapshot.read_bytes() == good
    assert_everybody_is_found(galleries, filled)
    snapshot.with_suffix(".tmp").rmdir()


DAMAGE_LOOP = """
    import logging, sys
    from pathlib import Path
    import numpy as np
    from server.domain import GalleryName
    from server.identity.gallery import Galleries
    from tests.server.identity.crowd import DIMENSION, FINGERPRINT, GALLERY, SMALL, unit

    logging.disable()
    data = Path(sys.argv[1])
    (path,) = (data / "index").iterdir()
    good = path.read_bytes()
    random = np.random.default_rng(1)
    variants = [good[: len(good) * part // 16] for part in range(16)]
    for _ in range(40):
        flipped = bytearray(good)
        for place in random.integers(0, len(good), int(random.choice([1, 1, 50]))):
            flipped[place] ^= 1 << int(random.integers(8))
        variants.append(bytes(flipped))
    for variant in variants:
        path.write_bytes(variant)
        galleries = Galleries.open(data, fingerprint=FINGERPRINT, dimension=DIMENSION, index=SMALL)
        found = galleries.search(GALLERY, unit(60, 1), limit=1)
        assert all(row[0].distance == 0 for row in found.candidates)
        assert galleries.settle(30)
        assert galleries.search(GALLERY, unit(60, 1), limit=1) == found
        assert galleries.statistics(GALLERY).index_base_count == 60
        galleries.close()
        assert path.stat().st_size > 1000
    print(len(variants), "survived")
"""


def test_no_damage_to_an_index_file_crashes_the_process_and_each_is_repaired(snapshot: Path, tmp_path: Path) -> None:
    code = textwrap.dedent(DAMAGE_LOOP)
    child = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "data")], capture_output=True, text=True, check=False
    )
    assert (child.returncode, child.stdout) == (0, "56 survived\n"), child.stderr


def test_a_gallery_of_the_past_format_opens_with_its_galleries_apart(open_galleries: Opener, tmp_path: Path) -> None:
    galleries = open_galleries()
    for gallery in (GALLERY, GalleryName("acme", "default")):
        enrol(galleries, str(gallery), unit(1, 1), gallery)
    galleries.close()
    db = apsw.Connection(str(tmp_path / "data" / "gallery.sqlite3"))
    rows = db.execute("SELECT tenant, gallery, revision, fingerprint FROM galleries ORDER BY tenant").fetchall()
    db.close()
    assert rows == [("acme", "default", 1, "test-model"), ("default", "default", 1, "test-model")]
