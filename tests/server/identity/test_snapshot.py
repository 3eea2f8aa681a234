from __future__ import annotations

import hashlib
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from server.identity.graph import Graph
from server.identity.graph_state import GraphShape
from server.identity.snapshot import (
    Snapshot,
    SnapshotError,
    SnapshotHeader,
    read_snapshot,
    snapshot_directory,
    write_snapshot,
)
from tests.server.identity.crowd import DIMENSION, unit


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    graph = Graph.built(unit(60, 1), GraphShape(DIMENSION, 4, 40), threads=1, cancelled=lambda: False)
    header = SnapshotHeader("tenants/default/galleries/default", "model", 7, 123456789)
    return Snapshot(header, np.arange(10, 70), graph.state())


def test_what_is_written_is_read_back(snapshot: Snapshot, tmp_path: Path) -> None:
    write_snapshot(tmp_path / "1.graph", snapshot)
    back = read_snapshot(tmp_path / "1.graph")
    assert back.header == snapshot.header
    assert np.array_equal(back.keys, snapshot.keys)
    for name in ("shape", "width", "recall", "entry", "top"):
        assert getattr(back.state, name) == getattr(snapshot.state, name)
    for name in ("rows", "levels", "links", "upper"):
        assert np.array_equal(getattr(back.state, name), getattr(snapshot.state, name))


def test_only_its_owner_may_read_a_snapshot_and_nothing_else_is_left_behind(snapshot: Snapshot, tmp_path: Path) -> None:
    write_snapshot(tmp_path / "1.graph", snapshot)
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_every_truncation_is_noticed(snapshot: Snapshot, tmp_path: Path) -> None:
    path = tmp_path / "1.graph"
    write_snapshot(path, snapshot)
    whole = path.read_bytes()
    for size in [*range(80), *range(80, len(whole), 61), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(SnapshotError):
            read_snapshot(path)


def test_every_flipped_bit_is_noticed(snapshot: Snapshot, tmp_path: Path) -> None:
    path = tmp_path / "1.graph"
    write_snapshot(path, snapshot)
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    places = [*range(96), *random.integers(96, len(whole), 200)]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(random.integers(8))
        path.write_bytes(bytes(damaged))
        with pytest.raises(SnapshotError):
            read_snapshot(path)


def test_bytes_appended_are_noticed(snapshot: Snapshot, tmp_path: Path) -> None:
    path = tmp_path / "1.graph"
    write_snapshot(path, snapshot)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(SnapshotError):
        read_snapshot(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"arrays"', b'"errays"'), (b'{"about"', b'["about"'), (b'"links": 4', b'"links": x'), (b'"shape"', b'"shope"')],
)
def test_a_header_that_makes_no_sense_is_refused_even_under_a_right_checksum(
    snapshot: Snapshot, tmp_path: Path, old: bytes, new: bytes
) -> None:
    path = tmp_path / "1.graph"
    write_snapshot(path, snapshot)
    body = path.read_bytes()[:-32]
    assert old in body
    body = body.replace(old, new)
    path.write_bytes(body + hashlib.sha256(body).digest())
    with pytest.raises(SnapshotError, match="header"):
        read_snapshot(path)


def test_a_missing_file_and_a_directory_in_its_place_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="there is none"):
        read_snapshot(tmp_path / "1.graph")
    (tmp_path / "2.graph").mkdir()
    with pytest.raises(SnapshotError, match="cannot be read"):
        read_snapshot(tmp_path / "2.graph")


def test_a_failed_write_leaves_the_good_snapshot_and_no_rubbish(snapshot: Snapshot, tmp_path: Path) -> None:
    path = tmp_path / "1.graph"
    write_snapshot(path, snapshot)
    before = path.read_bytes()
    (tmp_path / "1.tmp").mkdir()  # whatever is written first cannot be
    newer = replace(snapshot, header=replace(snapshot.header, revision=8))
    with pytest.raises(OSError, match="tmp"):
        write_snapshot(path, newer)
    assert path.read_bytes() == before


def test_only_whoever_writes_snapshots_removes_half_written_ones(tmp_path):
    folder = snapshot_directory(tmp_path, writes=True)
    (folder / "5.tmp").write_bytes(b"half")
    snapshot_directory(tmp_path, writes=False)
    assert (folder / "5.tmp").exists(), "the one that writes is at work on it"
    snapshot_directory(tmp_path, writes=True)
    assert not (folder / "5.tmp").exists()
