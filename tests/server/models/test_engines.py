from __future__ import annotations

import dataclasses
import os

import pytest

from server.inference.engines.key import EngineKey
from server.inference.engines.store import EngineStore
from server.inference.gpu.fake import FakeBuilder
from server.inference.precision import Precision
from server.models.engines import State, clean_engines, list_engines

KEY = EngineKey("ab" * 32, "fake", "1", "sm86", Precision.FLOAT32, ())


@pytest.fixture
def engines_dir(tmp_path):
    return tmp_path / "engines"


@pytest.fixture
def store(engines_dir):
    return EngineStore(engines_dir)


@pytest.fixture
def precious(tmp_path):
    """A file outside, which a link leads to."""
    path = tmp_path / "precious.engine"
    path.write_text("not ours to delete")
    return path


@pytest.fixture
def motley(store, engines_dir, precious):
    """One engine of ours, one of an older library, and much that is none; the damaged one comes last."""
    store.put(KEY, b"plan", {"model": "m/1"}).rename(engines_dir / "a.engine")
    store.put(dataclasses.replace(KEY, library_version="0"), b"plan", {}).rename(engines_dir / "b.engine")
    (engines_dir / "c.engine").symlink_to(engines_dir / "nowhere")
    (engines_dir / "d.engine").symlink_to(precious)
    (engines_dir / "e.engine").mkdir()
    (engines_dir / "e.engine" / "kept").write_text("")
    os.mkfifo(engines_dir / "f.engine")
    (engines_dir / "g.engine").symlink_to(engines_dir / "e.engine")
    (engines_dir / "h.engine").write_bytes(b"no seal")


def states(store):
    return {one.path.stem: one.state for one in list_engines(store, FakeBuilder())}


@pytest.mark.timeout(20)
def test_whatever_has_the_name_of_an_engine_is_listed_for_what_it_is(store, motley):
    listed = {one.path.stem: one for one in list_engines(store, FakeBuilder())}
    assert {name: one.state for name, one in listed.items()} == {
        "a": State.USABLE,
        "b": State.OUTDATED,
        **dict.fromkeys("cdefg", State.FOREIGN),
        "h": State.REFUSED,
    }
    assert listed["c"].why == listed["d"].why == listed["g"].why == "it is a link, and is not followed"
    assert listed["e"].why == "it is a folder"
    assert listed["f"].why == "it is no file"
    assert "seal" in listed["h"].why
    assert listed["h"].size == len(b"no seal")


@pytest.mark.parametrize("everything", [False, True])
def test_a_folder_is_left_and_everything_else_that_is_of_no_use_goes(store, engines_dir, motley, precious, everything):
    gone = clean_engines(store, FakeBuilder(), everything=everything)
    problems = {one.path.stem: one.problem for one in gone}
    assert "".join(problems) == ("abcdefgh" if everything else "bcdefgh")
    assert "it is a folder" in problems.pop("e")
    assert set(problems.values()) == {""}
    assert precious.read_text() == "not ours to delete"
    assert (engines_dir / "e.engine" / "kept").exists()
    assert "".join(states(store)) == ("e" if everything else "ae")


def test_what_the_disk_will_not_delete_is_told_and_does_not_stop_the_rest(store, engines_dir, motley, monkeypatch):
    unlink = type(engines_dir).unlink

    def refusing(path, *, missing_ok=False):
        if path.stem == "b":
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(type(engines_dir), "unlink", refusing)
    problems = {one.path.stem: one.problem for one in clean_engines(store, FakeBuilder(), everything=False)}
    assert problems["b"] == "Permission denied"
    assert "".join(states(store)) == "abe"


def test_everything_is_all_but_the_key_and_what_a_running_build_needs(store, engines_dir):
    other = dataclasses.replace(KEY, target="sm89")
    for key in (KEY, other):
        with store.only_builder(key):
            store.put(key, b"plan", {})
    held = engines_dir / f".{other.digest}.engine.0123"
    for path in (held, engines_dir / f".{KEY.digest}.engine.4567"):
        path.write_bytes(b"half")
    (engines_dir / "notes.txt").write_text("of somebody else")
    with store.only_builder(other):
        gone = clean_engines(store, FakeBuilder(), everything=True)
    assert sorted(one.what for one in gone) == ["unfinished", "usable", "usable"]
    left = {"installation.key", "notes.txt", f"{other.digest}.lock", held.name}
    assert {path.name for path in engines_dir.iterdir()} == left
    clean_engines(store, FakeBuilder(), everything=True)
    assert {path.name for path in engines_dir.iterdir()} == {"installation.key", "notes.txt"}


def test_locks_stay_unless_everything_is_to_go(store):
    with store.only_builder(KEY):
        pass
    assert clean_engines(store, FakeBuilder(), everything=False) == []
    assert len(store.locks()) == 1
