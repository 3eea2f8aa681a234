from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import ModelError
from server.inference.engines.key import EngineKey
from server.inference.engines.store import EngineStore
from server.inference.precision import Precision

KEY = EngineKey("ab" * 32, "fake", "1", "sm86", Precision.FLOAT32, ())
PLAN = bytes(range(256)) * 20


def assert_refused(store, key=KEY):
    with pytest.raises(ModelError) as caught:
        store.find(key)
    assert caught.value.reason == "ENGINE_REFUSED"
    assert "clean" in caught.value.message


def test_what_was_put_is_found_by_a_store_that_is_opened_anew(store, engines_dir):
    assert store.find(KEY) is None
    store.put(KEY, PLAN, {"seconds": 1.5})
    found = EngineStore(engines_dir).find(KEY)
    assert found.plan == PLAN
    assert found.about == {"key": KEY.as_json(), "seconds": 1.5}


def test_folder_and_files_are_for_their_owner_alone(store, engines_dir):
    path = store.put(KEY, PLAN, {})
    assert engines_dir.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


def test_every_flipped_bit_is_noticed(store):
    path = store.put(KEY, PLAN, {})
    intact = path.read_bytes()
    for place in [*range(200), len(intact) // 2, len(intact) - 1]:
        damaged = bytearray(intact)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        assert_refused(store)


@given(keep=st.integers(0, 5400))
def test_a_file_that_was_cut_off_is_noticed(tmp_path_factory, keep):
    store = EngineStore(tmp_path_factory.mktemp("engines"))
    path = store.put(KEY, PLAN, {})
    content = path.read_bytes()
    path.write_bytes(content[: min(keep, len(content) - 1)])
    assert_refused(store)


def test_a_file_that_got_longer_is_noticed(store):
    path = store.put(KEY, PLAN, {})
    path.write_bytes(path.read_bytes() + b"\0")
    assert_refused(store)


def test_an_engine_of_another_installation_is_refused(store, tmp_path):
    theirs = EngineStore(tmp_path / "theirs")
    shutil.copy(theirs.put(KEY, PLAN, {}), store.path(KEY))
    assert_refused(store)


def test_a_plan_without_a_seal_is_refused(store):
    store.path(KEY).write_bytes(PLAN)
    assert_refused(store)


def test_an_engine_of_ours_under_another_ones_name_is_refused(store):
    other = dataclasses.replace(KEY, target="sm89")
    shutil.copy(store.put(other, PLAN, {}), store.path(KEY))
    assert_refused(store)


def test_a_link_to_nowhere_is_no_engine(store, tmp_path):
    store.path(KEY).symlink_to(tmp_path / "nowhere")
    assert store.find(KEY) is None


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_is_no_file_is_refused_and_not_waited_for(store, engines_dir, tmp_path, kind):
    path = store.path(KEY)
    match kind:
        case "link":
            store.put(KEY, PLAN, {}).rename(tmp_path / "elsewhere")
            path.symlink_to(tmp_path / "elsewhere")
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
    assert_refused(store)
    if kind != "folder":
        store.put(KEY, PLAN, {})
        assert store.find(KEY).plan == PLAN


def test_what_is_put_again_replaces_the_old_and_leaves_nothing_else(store):
    store.put(KEY, b"old", {})
    store.put(KEY, PLAN, {})
    assert store.find(KEY).plan == PLAN
    assert store.files() == (store.path(KEY),)
    assert store.leftovers() == ()


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="--engines-dir") as caught:
        EngineStore(tmp_path / "file" / "engines")
    assert caught.value.reason == "ENGINES_UNUSABLE"


def test_only_one_builds_an_engine_at_a_time_and_others_do_not_wait_for_it(store, engines_dir):
    other = dataclasses.replace(KEY, target="sm89")
    inside, leave, entered = threading.Event(), threading.Event(), threading.Event()

    def first():
        with store.only_builder(KEY):
            inside.set()
            leave.wait(30)

    def second():
        with EngineStore(engines_dir).only_builder(KEY):
            entered.set()

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert inside.wait(30)
    threads[1].start()
    with store.only_builder(other):
        assert not entered.wait(0.1)
    leave.set()
    assert entered.wait(30)
    for thread in threads:
        thread.join()


def test_only_those_who_have_to_wait_are_asked_and_as_long_as_they_do(store, engines_dir):
    asked, entered = threading.Semaphore(0), threading.Event()

    def second():
        with EngineStore(engines_dir).only_builder(KEY, asked.release):
            entered.set()

    thread = threading.Thread(target=second)
    with store.only_builder(KEY, lambda: pytest.fail("nobody else is here")):
        thread.start()
        assert all(asked.acquire(timeout=30) for _ in range(3))
        assert not entered.is_set()
    thread.join()
    assert entered.is_set()


def test_a_link_in_the_place_of_a_lock_is_an_error_and_can_be_deleted(store, engines_dir, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("of somebody else")
    lock = engines_dir / f"{KEY.digest}.lock"
    lock.symlink_to(elsewhere)
    with pytest.raises(ModelError) as caught, store.only_builder(KEY):
        pytest.fail("it began")
    assert caught.value.reason == "ENGINES_UNUSABLE"
    store.delete_lock(lock)
    assert elsewhere.exists()
    with store.only_builder(KEY):
        pass


def test_waiting_ends_with_what_is_raised_meanwhile_and_keeps_no_lock(store, engines_dir):
    def had_enough():
        raise RuntimeError("enough")

    second = EngineStore(engines_dir).only_builder(KEY, had_enough)
    with store.only_builder(KEY), pytest.raises(RuntimeError, match="enough"), second:
        pass
    with EngineStore(engines_dir).only_builder(KEY, had_enough):
        pass


def test_a_file_that_is_being_written_is_no_leftover(store, engines_dir):
    unfinished = engines_dir / f".{KEY.digest}.engine.0123"
    unfinished.write_bytes(b"half")
    with store.only_builder(KEY):
        assert store.leftovers() == ()
    assert store.leftovers() == (unfinished,)


def test_a_lock_is_deleted_only_when_nobody_holds_it(store, engines_dir):
    (engines_dir / "poetry.lock").write_text("of somebody else")
    with store.only_builder(KEY):
        (lock,) = store.locks()
        store.delete_lock(lock)
        assert store.locks() == (lock,)
    store.delete_lock(lock)
    assert store.locks() == ()
    store.delete_lock(lock)


def test_whoever_waited_for_a_lock_that_was_deleted_then_waits_for_the_one_in_its_place(store, engines_dir):
    waiting, entered = threading.Event(), threading.Event()

    def second():
        with EngineStore(engines_dir).only_builder(KEY, waiting.set):
            entered.set()

    thread = threading.Thread(target=second)
    with contextlib.ExitStack() as first:
        first.enter_context(store.only_builder(KEY))
        thread.start()
        assert waiting.wait(30)
        (lock,) = store.locks()
        lock.unlink()
        with store.only_builder(KEY):
            first.close()
            assert not entered.wait(0.1)
    thread.join()
    assert entered.is_set()
    assert store.locks() == (lock,)


def test_a_cache_that_is_gone_is_said_so(store, engines_dir):
    shutil.rmtree(engines_dir)
    with pytest.raises(ModelError) as caught, store.only_builder(KEY):
        pass
    assert caught.value.reason == "ENGINES_UNUSABLE"
