"""A real server process with `--runtime tensorrt-fp16` on the emulated GPU: real weights, real photographs, pycuda."""

from __future__ import annotations

import time
import urllib.request
from contextlib import suppress

import grpc
import pytest
from facestream.v1 import recognition_pb2, server_pb2
from grpc_health.v1 import health_pb2

from tests.e2e.conftest import small_jpeg
from tests.e2e.raw import connected, enrolment, names_in, picture, refusal_of, streaming
from tests.server_process import ServerProcess

pytestmark = [pytest.mark.models, pytest.mark.data, pytest.mark.slow, pytest.mark.timeout(300)]

KNOWN = "Barack Obama"
PAIR = ("barack_obama_1.jpg", "barack_obama_2.jpg")
FLAGS = ("--runtime", "tensorrt-fp16", "--detect-side", "320", "--max-batch", "8")


@pytest.fixture
def photos(real_data):
    return [small_jpeg(real_data / "clips" / "stills" / name) for name in PAIR]


def backends(stubs):
    return {model.kind: model.backend for model in stubs.server.GetServerInfo(server_pb2.GetServerInfoRequest()).models}


def preparing(stubs):
    return any("preparing" in name for name in backends(stubs).values())


def serving(stubs):
    """What health says of the whole server."""
    answer = stubs.health.Check(health_pb2.HealthCheckRequest())
    return answer.status == health_pb2.HealthCheckResponse.SERVING


def metrics(server):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics", timeout=10) as answer:
        return answer.read().decode()


def recognised(stubs, photo):
    answer = stubs.recognition.Recognize(recognition_pb2.RecognizeRequest(image=picture(photo)))
    return names_in(answer.result)


@pytest.fixture
def go(tmp_path, monkeypatch):
    """A file without which no engine is finished."""
    monkeypatch.setenv("FACESTREAM_EMULATED_BUILD_UNTIL", str(tmp_path / "go"))
    return tmp_path / "go"


def test_it_names_people_while_engines_are_built_and_on_the_gpu_and_ends_as_it_should(tmp_path, photos, go):
    with ServerProcess(tmp_path / "data", *FLAGS, "--engines-dir", str(tmp_path / "engines")) as server:
        with connected(server.address) as stubs:
            assert all("preparing" in name for name in backends(stubs).values())
            stubs.gallery.EnrolIdentity(enrolment(KNOWN, photos[0]))
            with streaming(stubs) as stream:
                asked = 0
                while preparing(stubs):
                    asked += 1
                    assert names_in(stream.ask(asked, picture(photos[1])).result) == {KNOWN}
                    if asked == 3:
                        go.touch()
                assert backends(stubs) == dict.fromkeys(("detector", "landmarker", "embedder"), "tensorrt-sm86-f16")
                for number in range(asked + 1, asked + 6):
                    assert names_in(stream.ask(number, picture(photos[1])).result) == {KNOWN}
            assert recognised(stubs, photos[1]) == {KNOWN}
            assert serving(stubs)
            assert 'facestream_gpu_backend{kind="embedder",standing="live"} 1.0' in metrics(server)
        assert server.terminate() == 0
        assert [line for line in server.log if line["level"] in ("ERROR", "WARNING")] == []
        assert not [line for line in server.stderr if "emulated driver" in line], "nothing was left on the device"


@pytest.mark.usefixtures("go")
def test_it_ends_as_it_should_while_engines_are_built(tmp_path):
    with ServerProcess(tmp_path / "data", *FLAGS, "--engines-dir", str(tmp_path / "engines")) as server:
        with connected(server.address) as stubs:
            assert preparing(stubs)
        assert server.terminate() == 0
        errors = [line["event"] for line in server.log if line["level"] == "ERROR"]
        assert errors == ["TensorRT: the build was cancelled"], "as TensorRT calls it; the other two never began"
        assert list((tmp_path / "engines").glob("*.engine*")) == []


def test_with_the_policy_to_fail_a_lost_gpu_is_no_longer_serving(tmp_path, photos, monkeypatch):
    monkeypatch.setenv("FACESTREAM_EMULATED_LOSS", "300")
    flags = (*FLAGS, "--gpu-fallback", "fail", "--engines-dir", str(tmp_path / "engines"))
    with ServerProcess(tmp_path / "data", *flags) as server, connected(server.address) as stubs:
        deadline = time.monotonic() + 200
        while serving(stubs):
            assert time.monotonic() < deadline, backends(stubs)
            with suppress(grpc.RpcError):
                recognised(stubs, photos[1])
        assert refusal_of(lambda: recognised(stubs, photos[1])).reason == "DEVICE_LOST"


def test_a_gpu_that_is_lost_in_the_midst_of_a_stream_costs_no_frame(tmp_path, photos, monkeypatch):
    monkeypatch.setenv("FACESTREAM_EMULATED_LOSS", "400")
    with ServerProcess(tmp_path / "data", *FLAGS, "--engines-dir", str(tmp_path / "engines")) as server:
        with connected(server.address) as stubs, streaming(stubs) as stream:
            stubs.gallery.EnrolIdentity(enrolment(KNOWN, photos[0]))
            deadline, number = time.monotonic() + 200, 0
            while not any("lost" in name for name in backends(stubs).values()):
                number += 1
                assert names_in(stream.ask(number, picture(photos[1])).result) == {KNOWN}
                assert time.monotonic() < deadline, backends(stubs)
            assert recognised(stubs, photos[1]) == {KNOWN}
            assert serving(stubs)
        assert server.terminate() == 0
        assert any("is lost" in str(line["event"]) for line in server.log)
