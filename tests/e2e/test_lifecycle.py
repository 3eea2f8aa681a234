"""A server that starts only when all is well, says what it is, and stops without losing an answer."""

from __future__ import annotations

import shutil
import socket
import threading
import urllib.request

import grpc
import numpy as np
import pytest
from facestream.v1 import gallery_pb2, recognition_pb2, server_pb2
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.e2e.deaf import Deaf
from tests.e2e.raw import (
    DEADLINE_S,
    RawStream,
    config,
    connected,
    enrolment,
    frame,
    names_in,
    picture,
    refusal_of,
    streaming,
)
from tests.painted import EMBEDDER, PAINTED_FLAGS, PaintedFace, paint, person, png, portrait
from tests.server_process import ServerProcess

SERVICES = {
    "facestream.v1.GalleryService",
    "facestream.v1.RecognitionService",
    "facestream.v1.ServerService",
    "facestream.v1.SightingService",
    "facestream.v1.UnknownService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1alpha.ServerReflection",
}
Status = health_pb2.HealthCheckResponse


@pytest.fixture
def server(tmp_path, painted_models):
    with ServerProcess(tmp_path / "data", *PAINTED_FLAGS, models_dir=painted_models) as running:
        yield running


@pytest.fixture
def stubs(server):
    with connected(server.address) as connection:
        yield connection


# ---- starting


def refused_start(server):
    """Exit status and standard error of a server that must not start."""
    with pytest.raises(RuntimeError, match="didn't start"):
        server.start()
    return server.process.returncode, "".join(line for line in server.stderr if not line.startswith("{"))


@pytest.fixture
def own_models(painted_models, tmp_path):
    """A copy of the painted models, to be damaged."""
    return shutil.copytree(painted_models, tmp_path / "models")


@pytest.mark.parametrize("change", ["a flipped bit", "cut off", "another file"])
def test_a_model_whose_weights_are_not_the_manifests_is_refused_by_hash(tmp_path, own_models, change):
    weights = own_models / EMBEDDER / "model.onnx"
    good = weights.read_bytes()
    other = (own_models / "painted-detector" / "v1" / "model.onnx").read_bytes()
    flipped = good[:500] + bytes([good[500] ^ 1]) + good[501:]
    weights.write_bytes({"a flipped bit": flipped, "cut off": good[:-1], "another file": other}[change])
    status, said = refused_start(ServerProcess(tmp_path / "data", *PAINTED_FLAGS, models_dir=own_models))
    assert status == 1
    assert str(weights) in said
    assert "sha256" in said
    assert f"facestream-models fetch {EMBEDDER}" in said
    assert "Traceback" not in said


def test_a_model_that_is_not_there_is_refused_and_the_way_to_get_it_is_named(tmp_path, own_models):
    shutil.rmtree(own_models / EMBEDDER)
    status, said = refused_start(ServerProcess(tmp_path / "data", *PAINTED_FLAGS, models_dir=own_models))
    assert status == 1
    assert "facestream-models fetch" in said
    assert "Traceback" not in said


def test_a_detector_as_embedder_is_refused(tmp_path, painted_models):
    wrong = (*PAINTED_FLAGS, "--embedder", "painted-detector/v1")
    status, said = refused_start(ServerProcess(tmp_path / "data", *wrong, models_dir=painted_models))
    assert status == 1
    assert "painted-detector/v1" in said


def test_a_second_server_on_the_same_data_is_refused_and_the_first_goes_on(server, stubs, tmp_path, painted_models):
    stubs.gallery.EnrolIdentity(enrolment("Ada", portrait(person(1))))
    second = ServerProcess(tmp_path / "data", *PAINTED_FLAGS, models_dir=painted_models)
    status, said = refused_start(second)
    assert status == 1
    assert str(tmp_path / "data") in said
    assert str(server.process.pid) in said
    assert "Traceback" not in said
    assert who_is_in(stubs, portrait(person(1))) == {"Ada"}
    server.kill()
    with second:
        pass  # a lock does not outlive the process that held it


def test_an_address_that_is_taken_is_refused(server, tmp_path, painted_models):
    for flag, address in (("--listen", server.address), ("--metrics-listen", f"127.0.0.1:{server.metrics_port}")):
        other = ServerProcess(tmp_path / "other", *PAINTED_FLAGS, flag, address, models_dir=painted_models)
        status, said = refused_start(other)
        assert status == 1
        assert f"choose another with {flag}" in said


def test_listening_to_the_world_without_encryption_is_refused_unless_it_is_asked_for(tmp_path, painted_models):
    world = (*PAINTED_FLAGS, "--listen", "0.0.0.0:0")
    status, said = refused_start(ServerProcess(tmp_path / "data", *world, models_dir=painted_models))
    assert status == 2
    assert "--allow-plaintext" in said
    with ServerProcess(tmp_path / "data", *world, "--allow-plaintext", models_dir=painted_models):
        pass


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.mark.models
def test_health_says_not_serving_until_the_models_are_warm_and_calls_are_told_to_wait(tmp_path):
    address = f"127.0.0.1:{free_port()}"
    server = ServerProcess(tmp_path / "data", "--listen", address)
    starting = threading.Thread(target=server.start)
    starting.start()
    try:
        with connected(address) as stubs:
            request = health_pb2.HealthCheckRequest(service="facestream.v1.RecognitionService")
            watch = stubs.health.Watch(request, wait_for_ready=True, timeout=DEADLINE_S)
            assert next(watch).status == Status.NOT_SERVING
            refusal = refusal_of(lambda: stubs.server.GetServerInfo(server_pb2.GetServerInfoRequest()))
            assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "SERVER_STARTING")
            refusal = refusal_of(lambda: list(RawStream(stubs, config()).answers))
            assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "SERVER_STARTING")
            assert next(watch).status == Status.SERVING
            assert stubs.server.GetServerInfo(server_pb2.GetServerInfoRequest()).models
            watch.cancel()
    finally:
        starting.join()
        server.terminate()


# ---- running


@pytest.fixture(scope="module")
def running(tmp_path_factory, painted_models):
    """Stubs of a server that no test changes."""
    with (
        ServerProcess(tmp_path_factory.mktemp("data"), *PAINTED_FLAGS, models_dir=painted_models) as server,
        connected(server.address) as connection,
    ):
        yield connection


def who_is_in(stubs, photo):
    return names_in(stubs.recognition.Recognize(recognition_pb2.RecognizeRequest(image=picture(photo))).result)


def test_the_server_says_what_runs_where(running):
    info = running.server.GetServerInfo(server_pb2.GetServerInfoRequest())
    assert [(model.kind, model.model, model.backend) for model in info.models] == [
        ("detector", "painted-detector/v1", "onnxruntime-cpu"),
        ("embedder", "painted-embedder/v1", "onnxruntime-cpu"),
    ]
    assert len(info.fingerprint) == 16
    assert info.limits.enrolment_photos == 64


def test_reflection_lists_every_service_with_its_methods(running):
    database = ProtoReflectionDescriptorDatabase(running.channel)
    assert set(database.get_services()) == SERVICES
    described = database.FindFileContainingSymbol("facestream.v1.RecognitionService")
    assert "StreamRecognize" in [method.name for method in described.service[0].method]


def test_reflection_can_be_turned_off(tmp_path, painted_models):
    with (
        ServerProcess(tmp_path / "data", *PAINTED_FLAGS, "--no-reflection", models_dir=painted_models) as server,
        connected(server.address) as stubs,
        pytest.raises(grpc.RpcError) as refused,
    ):
        ProtoReflectionDescriptorDatabase(stubs.channel).get_services()
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def metrics_of(server):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def test_metrics_count_what_happened_and_name_nobody(server, stubs):
    stubs.gallery.EnrolIdentity(enrolment("Ada Lovelace", portrait(person(1)), portrait(person(1), side=24)))
    with streaming(stubs) as stream:
        stream.ask(1, picture(portrait(person(1), contrast=50)))
        stream.ask(2, picture(b"junk"))
        seen = metrics_of(server)
    assert seen['facestream_frames_total{outcome="result"}'] == "1.0"
    assert seen['facestream_frames_total{outcome="error"}'] == "1.0"
    assert seen['facestream_faces_total{answer="match"}'] == "1.0"
    assert seen['facestream_stage_duration_seconds_count{stage="embed"}'] == "1.0"
    assert seen['facestream_enrolment_photos_total{outcome="accepted"}'] == "1.0"
    assert seen['facestream_enrolment_photos_total{outcome="too_small"}'] == "1.0"
    assert seen["facestream_streams"] == "1.0"
    assert seen['facestream_gallery_identities{gallery="tenants/default/galleries/default"}'] == "1.0"
    assert any("painted-embedder/v1" in name for name in seen if name.startswith("facestream_build_info"))
    assert not any("Ada" in name for name in seen)


def test_the_log_names_nobody(server, stubs):
    enrolled = stubs.gallery.EnrolIdentity(enrolment("Ada Lovelace", portrait(person(1))))
    who_is_in(stubs, portrait(person(1)))
    refusal_of(lambda: stubs.gallery.EnrolIdentity(enrolment("Ada Lovelace", portrait(person(1)))))
    stubs.gallery.DeleteIdentity(gallery_pb2.DeleteIdentityRequest(name=enrolled.identity.name))
    people = 'facestream_gallery_identities{gallery="tenants/default/galleries/default"}'
    assert metrics_of(server)[people] == "0.0"
    server.terminate()
    assert not any("Ada" in line for line in server.stderr)


# ---- stopping


def test_a_stopped_server_answers_what_it_holds_says_drain_and_exits_with_0(server, stubs):
    huge = np.full((6000, 5000, 3), 90, np.uint8)
    huge[:192, :192] = paint([PaintedFace(person(1))])
    slow = picture(png(huge))  # takes its time to decode
    watch = stubs.health.Watch(health_pb2.HealthCheckRequest(), timeout=DEADLINE_S)
    assert next(watch).status == Status.SERVING
    stream = RawStream(stubs, config(max_frame_age=Duration(seconds=60)), frame(1, slow), frame(2, slow))
    stream.send(frame(3, picture(b"", codec=77)))
    first = [next(stream.answers), next(stream.answers)]
    assert [(answer.sequence, answer.WhichOneof("message")) for answer in first] == [(0, "ready"), (3, "error")]
    stopped = threading.Thread(target=server.terminate)
    stopped.start()
    assert next(watch).status == Status.NOT_SERVING
    watch.cancel()
    kinds = [(answer.sequence, answer.WhichOneof("message")) for answer in stream.answers]
    stopped.join()
    assert sorted(kinds) == [(0, "drain"), (1, "result"), (2, "result")]
    assert stream.answers.code() is grpc.StatusCode.OK
    assert server.process.returncode == 0
    assert server.log[-1]["event"] == "stopped"


def test_a_client_that_never_reads_does_not_keep_the_server_from_stopping(tmp_path, painted_models):
    flags = (*PAINTED_FLAGS, "--drain-s", "1")
    with ServerProcess(tmp_path / "data", *flags, models_dir=painted_models) as server:
        deaf = Deaf(server.address, frames=1_000_000)
        deaf.wait_until_stuck()
        assert server.terminate() == 0
        deaf.close()


def test_an_orderly_restart_keeps_everybody(tmp_path, painted_models):
    server = ServerProcess(tmp_path / "data", *PAINTED_FLAGS, models_dir=painted_models)
    with server, connected(server.address) as stubs:
        for number in range(5):
            stubs.gallery.EnrolIdentity(enrolment(f"person {number}", portrait(person(number))))
        before = stubs.gallery.ListIdentities(gallery_pb2.ListIdentitiesRequest())
    again = ServerProcess(tmp_path / "data", *PAINTED_FLAGS, models_dir=painted_models)
    with again, connected(again.address) as stubs:
        assert stubs.gallery.ListIdentities(gallery_pb2.ListIdentitiesRequest()) == before
        assert who_is_in(stubs, portrait(person(3), contrast=45)) == {"person 3"}
