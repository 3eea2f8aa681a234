"""Cameras that break the rules, stop reading or die take nothing away from the others."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from facestream.v1 import server_pb2
from google.protobuf.duration_pb2 import Duration

from tests.e2e.conftest import GALLERY, KNOWN
from tests.e2e.deaf import Deaf
from tests.e2e.raw import RawStream, config, connected, frame, names_in, picture, refusal_in, refusal_of, streaming
from tests.server_process import PROJECT

pytestmark = [pytest.mark.models, pytest.mark.data, pytest.mark.usefixtures("unharmed")]

MEGABYTE = 2**20
PATIENCE_S = 30
BROKEN_RULES = {
    "a frame before the config": ([frame(1, picture(b"x"))], "CONFIG_MISSING"),
    "two configs": ([config(), config()], "FRAME_MISSING"),
    "no camera name": ([config("")], "CAMERA_INVALID"),
    "a camera name with a path in it": ([config("../door")], "CAMERA_INVALID"),
    "a gallery that is no resource name": ([config(gallery="everybody")], "RESOURCE_NAME_INVALID"),
    "a false accept rate of one half": ([config(target_far=0.5)], "TARGET_FAR_INVALID"),
    "an age limit of a day": ([config(max_frame_age=Duration(seconds=86400))], "MAX_FRAME_AGE_INVALID"),
}


@pytest.mark.parametrize("broken", BROKEN_RULES)
def test_a_camera_that_breaks_the_contract_is_told_which_rule(stubs, broken):
    messages, reason = BROKEN_RULES[broken]
    stream = RawStream(stubs, *messages)
    refusal = refusal_of(lambda: list(stream.answers))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", reason)


def test_frames_before_a_second_config_are_answered(stubs, known_face):
    stream = RawStream(stubs, config(gallery=GALLERY), frame(1, picture(known_face)), config())
    assert next(stream.answers).WhichOneof("message") == "ready"
    assert names_in(next(stream.answers).result) == {KNOWN}
    assert refusal_of(lambda: next(stream.answers)).reason == "FRAME_MISSING"


def test_sequence_numbers_that_repeat_or_fall_are_errors_of_their_frames(stubs, known_face):
    with streaming(stubs, gallery=GALLERY) as stream:
        assert stream.ask(7, picture(known_face)).WhichOneof("message") == "result"
        for sequence in (7, 6, 0):
            error = refusal_in(stream.ask(sequence, picture(known_face)).error)
            assert (error.code, error.reason) == ("INVALID_ARGUMENT", "SEQUENCE_NOT_INCREASING")
        assert names_in(stream.ask(8, picture(known_face)).result) == {KNOWN}


def until(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.05)


def open_streams(stubs):
    return stubs.server.GetServerInfo(server_pb2.GetServerInfoRequest()).open_streams


def memory(server):
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory from Linux's /proc")
def test_a_client_that_never_reads_stops_itself_alone_and_costs_little_memory(real_server, stubs, known_face):
    frames = 1_000_000  # twenty gigabytes, if anybody kept them
    before = memory(real_server)
    deaf = Deaf(real_server.address, frames)
    try:
        deaf.wait_until_stuck()
        assert deaf.sent < frames
        with streaming(stubs, "other", gallery=GALLERY) as other:
            for number in range(1, 11):
                assert names_in(other.ask(number, picture(known_face)).result) == {KNOWN}
        assert memory(real_server) - before < 64 * MEGABYTE
    finally:
        deaf.close()
    until(lambda: open_streams(stubs) == 0, "the deaf camera's stream was closed")


CAMERA_THAT_SENDS_RAW_FRAMES = """
import itertools, sys, grpc
from facestream.v1 import image_pb2, recognition_pb2, recognition_pb2_grpc
Request = recognition_pb2.StreamRecognizeRequest
raw = image_pb2.Image(codec=image_pb2.IMAGE_CODEC_BGR24, data=bytes(640 * 640 * 3), width=640, height=640)
def requests():
    yield Request(config=recognition_pb2.StreamConfig(camera="doomed"))
    for number in itertools.count(1):
        yield Request(frame=recognition_pb2.CameraFrame(sequence=number, image=raw))
with grpc.insecure_channel(sys.argv[1]) as channel:
    for answer in recognition_pb2_grpc.RecognitionServiceStub(channel).StreamRecognize(requests()):
        pass
"""


class Throttle:
    """A connection to the server that stops after some bytes, in the middle of whatever comes."""

    def __init__(self, server_port, allowance):
        self.full = threading.Event()
        self._allowance = allowance
        self._upstream = ("127.0.0.1", server_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._run, daemon=True)]
        self._threads[0].start()

    @property
    def address(self):
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def _run(self):
        with self._listener, socket.create_connection(self._upstream) as upstream:
            client, _ = self._listener.accept()
            with client:
                back = threading.Thread(target=self._back, args=(upstream, client), daemon=True)
                back.start()
                while data := _received(client):
                    upstream.sendall(data[: self._allowance])
                    self._allowance = max(0, self._allowance - len(data))
                    if not self._allowance:
                        self.full.set()
                upstream.shutdown(socket.SHUT_RDWR)
                back.join()

    @staticmethod
    def _back(upstream, client):
        while data := _received(upstream):
            try:
                client.sendall(data)
            except OSError:
                return

    def join(self):
        self._threads[0].join(PATIENCE_S)


def _received(connection):
    try:
        return connection.recv(2**16)
    except OSError:
        return b""


def test_a_client_that_is_killed_in_the_middle_of_a_frame_leaves_nothing_behind(real_server, stubs, known_face):
    frame_bytes = 640 * 640 * 3
    throttle = Throttle(real_server.port, allowance=3 * frame_bytes + frame_bytes // 2)
    paths = os.pathsep.join([str(PROJECT), str(PROJECT / "proto")])
    with streaming(stubs, "other", gallery=GALLERY) as other:
        camera = subprocess.Popen(
            [sys.executable, "-c", CAMERA_THAT_SENDS_RAW_FRAMES, throttle.address],
            env={**os.environ, "PYTHONPATH": paths},
            stderr=subprocess.DEVNULL,
        )
        try:
            assert throttle.full.wait(PATIENCE_S)
            assert open_streams(stubs) == 2
        finally:
            camera.kill()
            camera.wait()
        throttle.join()
        until(lambda: open_streams(stubs) == 1, "the dead camera's stream was closed")
        assert names_in(other.ask(1, picture(known_face)).result) == {KNOWN}


def test_a_camera_that_hangs_up_with_frames_under_way_leaves_nothing_behind(real_server, stubs, known_face):
    for _ in range(5):
        with connected(real_server.address) as own:
            stream = RawStream(own, config("hasty"), *(frame(number, picture(known_face)) for number in range(1, 20)))
            next(stream.answers)
            stream.answers.cancel()
    until(lambda: open_streams(stubs) == 0, "the streams were closed")


def test_more_streams_than_the_limit_are_refused_and_the_open_ones_go_on(stubs, known_face):
    limit = stubs.server.GetServerInfo(server_pb2.GetServerInfoRequest()).limits.streams
    streams = [RawStream(stubs, config(f"camera-{i}", gallery=GALLERY)) for i in range(limit)]
    for stream in streams:
        assert next(stream.answers).WhichOneof("message") == "ready"
    one_more = RawStream(stubs, config("one-more"))
    refusal = refusal_of(lambda: list(one_more.answers))
    assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "STREAMS_EXCEEDED")
    assert names_in(streams[0].ask(1, picture(known_face)).result) == {KNOWN}
    for stream in streams:
        stream.finish()
