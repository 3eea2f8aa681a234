"""Several processes and one cache: none is in the way of another, and one that is killed leaves the cache as it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from server.inference.engines.progress import Progress
from server.inference.gpu.fake import FakeBuilder
from server.inference.precision import Precision
from server.models.engines import State, clean_engines, list_engines

ROOT = Path(__file__).parents[4]
CHILD = Path(__file__).with_name("build_child.py")


@pytest.fixture
def child(tmp_path, embedder, engines_dir):
    """Starts processes that obtain the embedder's engine, and ends those that are left."""
    started = []

    def start(**environment):
        process = subprocess.Popen(
            [sys.executable, str(CHILD), str(tmp_path / "models" / "tiny-embedder" / "v1"), str(engines_dir)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def heard(process, last):
    """The lines that a process says, up to and with `last`."""
    lines = []
    while not lines or lines[-1] != last:
        line = process.stdout.readline()
        assert line, f"the process ended after {lines}"
        lines.append(line.rstrip("\n"))
    return lines


def obtain(manager, model):
    manifest, weights = model
    return manager.obtain(manifest, weights, manager.key(manifest, Precision.FLOAT32, "sm86"), progress=Progress())


def test_two_processes_that_want_one_engine_build_it_once(child, store, manager, embedder):
    first = child()
    assert heard(first, "building") == ["tiny-embedder/v1: f32 for sm86", "building"]
    second = child()
    waiting = "tiny-embedder/v1: waiting for another build of f32 for sm86"
    assert heard(second, waiting) == [waiting]
    first.stdin.write("\n")
    first.stdin.flush()
    assert heard(first, "built")[-1] == "built"
    assert heard(second, "found") == ["found"]
    assert (first.wait(), second.wait()) == (0, 0)
    assert len(store.files()) == 1
    assert store.leftovers() == ()
    assert not obtain(manager, embedder).built


def test_a_process_that_is_killed_while_it_builds_leaves_no_engine_and_nobody_waits_for_it(
    child, store, manager, builder, embedder
):
    killed = child()
    heard(killed, "building")
    waiting = child()
    heard(waiting, "tiny-embedder/v1: waiting for another build of f32 for sm86")
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert heard(waiting, "building") == ["tiny-embedder/v1: f32 for sm86", "building"]
    waiting.send_signal(signal.SIGKILL)
    assert waiting.wait() == -signal.SIGKILL
    assert store.files() == store.leftovers() == ()
    assert obtain(manager, embedder).built
    assert [one.state for one in list_engines(store, builder)] == [State.USABLE]


def test_a_process_that_is_killed_while_it_writes_leaves_no_engine(child, store, manager, embedder):
    """It dies at the thousandth byte."""
    killed = child(FILE_LIMIT="1000")
    heard(killed, "building")
    killed.stdin.write("\n")
    killed.stdin.flush()
    assert killed.wait() == -signal.SIGXFSZ
    (leftover,) = store.leftovers()
    assert 0 < leftover.stat().st_size <= 1000
    assert store.files() == ()
    assert list_engines(store, FakeBuilder()) == []
    assert manager.find(manager.key(embedder[0], Precision.FLOAT32, "sm86")) is None
    assert obtain(manager, embedder).built
    assert not obtain(manager, embedder).built
    (removal,) = clean_engines(store, FakeBuilder(), everything=False)
    assert (removal.path, removal.what, removal.problem) == (leftover, "unfinished", "")
    assert store.leftovers() == ()
    assert len(store.files()) == 1
