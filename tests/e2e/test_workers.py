"""A server of several processes is one server: one port, one gallery, and it outlives the death of a worker."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from facestream.v1 import gallery_pb2, server_pb2

from server.identity.directory import DataDirectory
from tests.e2e.raw import RawStream, Stubs, connected, enrolment, names_in, picture, streaming
from tests.painted import PAINTED_FLAGS, person, portrait
from tests.server_process import ServerProcess

SOON_S = 30.0
"""For what takes a fraction of a second on a machine that is not busy."""


@pytest.fixture
def server(tmp_path, painted_models) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path / "data", *PAINTED_FLAGS, "--workers", "2", models_dir=painted_models) as running:
        yield running


def soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SOON_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def names(stream: RawStream, image: bytes, who: set[str]) -> Callable[[], bool]:
    """Asks the stream whether it names these people, with a new frame each time."""
    numbers = itertools.count(2)
    return lambda: names_in(stream.ask(next(numbers), picture(image)).result) == who


def workers(server: ServerProcess) -> dict[int, int]:
    """Process of each worker that is ready, by number; of several lives the last."""
    return {line["worker"]: line["pid"] for line in server.log if line["event"] == "worker ready"}


def metric(server: ServerProcess, name: str) -> float:
    """Sum of the samples whose line begins so."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def connections(pid: int, port: int) -> int:
    """Established connections to the port that a process holds."""
    inodes = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(handle.readlink())
        except OSError:  # closed meanwhile
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = 0
    for table in ("tcp", "tcp6"):
        rows = [line.split() for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]]
        found += sum(row[1].endswith(f":{port:04X}") and row[3] == "01" and row[9] in inodes for row in rows)
    return found


def stubs_of_every_worker(server: ServerProcess, undo: ExitStack) -> dict[int, Stubs]:
    """A connection to each worker; the kernel chooses, so that it takes some attempts."""
    found: dict[int, Stubs] = {}
    for _ in range(200):
        before = {pid: connections(pid, server.port) for pid in workers(server).values()}
        stubs = undo.enter_context(connected(server.address))
        grpc.channel_ready_future(stubs.channel).result(timeout=SOON_S)
        for pid, count in before.items():
            if connections(pid, server.port) > count:
                found.setdefault(pid, stubs)
        if len(found) == len(before):
            return found
    raise AssertionError("every connection went to the same worker")


def test_an_enrolment_through_one_worker_is_seen_by_streams_on_all(server):
    ada = portrait(person(1))
    with ExitStack() as undo:
        each = stubs_of_every_worker(server, undo)
        assert len(each) == 2
        streams = [undo.enter_context(streaming(stubs, f"camera-{i}")) for i, stubs in enumerate(each.values())]
        for stream in streams:
            first = stream.ask(1, picture(ada))
            assert first.WhichOneof("message") == "result"
            assert names_in(first.result) == set()
        next(iter(each.values())).gallery.EnrolIdentity(enrolment("Ada", ada))
        enrolled = time.monotonic()
        for stream in streams:
            assert soon(names(stream, ada, {"Ada"}))
        assert time.monotonic() - enrolled < SOON_S
        assert soon(lambda: metric(server, "facestream_streams") == 2)
        assert metric(server, "facestream_gallery_identities") == 1
        assert soon(lambda: metric(server, 'facestream_frames_total{outcome="result"}') >= 4)


@pytest.mark.parametrize("number", [0, 1])
def test_when_a_worker_is_killed_the_service_goes_on_and_the_worker_comes_back(server, number):
    with connected(server.address) as stubs:
        stubs.gallery.EnrolIdentity(enrolment("Ada", portrait(person(1))))
    before = workers(server)
    os.kill(before[number], signal.SIGKILL)
    with ExitStack() as undo:
        for i in range(10):  # whoever is left answers every new connection; one that the dead still took is made anew
            stubs = undo.enter_context(connected(server.address))
            grpc.channel_ready_future(stubs.channel).result(timeout=SOON_S)
            with streaming(stubs, f"camera-{i}") as stream:
                assert soon(names(stream, portrait(person(1)), {"Ada"}))
    assert soon(lambda: workers(server)[number] != before[number])
    (death,) = [line for line in server.log if line["event"].startswith("worker died")]
    assert (death["worker"], death["end"]) == (number, f"exit status {-signal.SIGKILL}")
    with ExitStack() as undo:
        for stubs in stubs_of_every_worker(server, undo).values():
            assert len(stubs.gallery.ListIdentities(gallery_pb2.ListIdentitiesRequest()).identities) == 1


def test_every_worker_says_that_sightings_are_not_kept(server):
    with ExitStack() as undo:
        for stubs in stubs_of_every_worker(server, undo).values():
            assert not stubs.server.GetServerInfo(server_pb2.GetServerInfoRequest()).keeps_sightings


def test_a_second_server_on_the_directory_is_refused(server, tmp_path, painted_models):
    for flags in ((), ("--workers", "2")):
        second = ServerProcess(tmp_path / "data", *PAINTED_FLAGS, *flags, models_dir=painted_models)
        with pytest.raises(RuntimeError, match="held by another server"):
            second.start()
        assert second.process is not None
        assert second.process.returncode == 1


def test_a_group_on_the_port_of_another_group_is_refused(server, tmp_path, painted_models):
    second = ServerProcess(
        tmp_path / "other", *PAINTED_FLAGS, "--workers", "2", "--listen", server.address, models_dir=painted_models
    )
    with pytest.raises(RuntimeError, match="can't listen"):
        second.start()


def test_a_group_that_is_terminated_drains_and_leaves_nobody_behind(server):
    pids = workers(server).values()
    assert len(pids) == 2
    assert server.terminate() == 0
    assert soon(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    drained = [line["worker"] for line in server.log if line["event"] == "draining"]
    assert sorted(drained) == [0, 1]


def test_a_group_that_is_terminated_while_it_starts_ends(tmp_path, painted_models):
    server = ServerProcess(tmp_path / "data", *PAINTED_FLAGS, "--workers", "2", models_dir=painted_models)

    def start():
        with pytest.raises(RuntimeError, match="didn't start"):
            server.start()

    starting = threading.Thread(target=start)
    starting.start()
    assert soon(lambda: server.metrics_port != 0)
    assert server.process is not None
    server.process.terminate()
    starting.join()
    assert server.process.returncode == 0
    DataDirectory.hold(tmp_path / "data").release()


def test_workers_end_when_their_supervisor_is_killed(server, tmp_path, painted_models):
    pids = workers(server).values()
    assert server.process is not None
    server.process.send_signal(signal.SIGKILL)
    assert soon(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    server.kill()
    with ServerProcess(tmp_path / "data", *PAINTED_FLAGS, models_dir=painted_models) as again:
        assert again.port


def test_a_group_that_cannot_start_says_why(tmp_path, painted_models):
    flags = (*PAINTED_FLAGS, "--embedder", "painted-detector/v1", "--workers", "2")
    wrong = ServerProcess(tmp_path / "data", *flags, models_dir=painted_models)
    with pytest.raises(RuntimeError, match="is of the kind detector"):
        wrong.start()
    assert wrong.process is not None
    assert wrong.process.returncode == 1
    assert "worker 0 could not start" in "".join(wrong.stderr)
    assert "Traceback" not in "".join(wrong.stderr)
