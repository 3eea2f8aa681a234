"""A server that must not start says why, before or after its models are loaded, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket

import grpc
import pytest
from facestream.v1 import server_pb2, server_pb2_grpc

from server.app import GpuWatch, serve
from server.errors import ConflictError, DataDirectoryInUseError, InvalidInputError, ModelError
from server.inference.standby import Standing, Status
from server.models.probes import Role
from server.rpc.health import Health
from server.settings import load_settings
from server.telemetry import Metrics
from tests.gpu import gpu_is_there
from tests.painted import EMBEDDER, PAINTED_FLAGS, write_painted_models


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return write_painted_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def settings(tmp_path, models):
    """Settings of a server on painted faces, with further flags."""

    def make(*flags, listen="127.0.0.1:0", metrics="127.0.0.1:0", models_dir=models):
        folders = ("--data-dir", str(tmp_path / "data"), "--models-dir", str(models_dir))
        return load_settings([*PAINTED_FLAGS, *folders, "--listen", listen, "--metrics-listen", metrics, *flags])

    return make


@pytest.fixture
def taken():
    """An address that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.7:0", "example.org:0"])
async def test_an_open_address_is_refused_unless_plaintext_is_allowed(settings, tmp_path, listen):
    with pytest.raises(InvalidInputError) as refused:
        await serve(settings(listen=listen))
    assert refused.value.reason == "PLAINTEXT_REFUSED"
    assert "--allow-plaintext" in refused.value.message
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("place", ["listen", "metrics"])
async def test_an_address_that_is_taken_is_refused_by_its_flag(settings, taken, place):
    with pytest.raises(ConflictError) as refused:
        await serve(settings(**{place: taken}))
    assert refused.value.reason == "ADDRESS_UNAVAILABLE"
    assert taken in refused.value.message
    assert {"listen": "--listen", "metrics": "--metrics-listen"}[place] in refused.value.message


async def test_an_embedder_without_thresholds_is_refused(settings, models, tmp_path):
    own = shutil.copytree(models, tmp_path / "models")
    manifest = own / EMBEDDER / "manifest.json"
    content = json.loads(manifest.read_text())
    content["embedder"]["operating_points"] = []
    manifest.write_text(json.dumps(content))
    with pytest.raises(ModelError, match=EMBEDDER) as refused:
        await serve(settings(models_dir=own))
    assert refused.value.reason == "THRESHOLDS_MISSING"


async def test_after_a_start_that_failed_late_the_data_directory_is_free(settings, taken):
    for _ in range(2):
        with pytest.raises(ConflictError):  # not DataDirectoryInUseError
            await serve(settings(metrics=taken))


def free_address():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


async def test_a_server_that_is_cancelled_gives_everything_back(settings, tmp_path):
    address = free_address()
    for _ in range(2):
        serving = asyncio.create_task(serve(settings(listen=address)))
        async with grpc.aio.insecure_channel(address) as channel:
            stub = server_pb2_grpc.ServerServiceStub(channel)
            info = await until_it_serves(stub)
            assert [model.kind for model in info.models] == ["detector", "embedder"]
            assert info.keeps_sightings
            with pytest.raises(DataDirectoryInUseError):
                await serve(settings(listen=free_address()))
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving


async def until_it_serves(stub):
    async with asyncio.timeout(60):
        while True:
            try:
                return await stub.GetServerInfo(server_pb2.GetServerInfoRequest(), wait_for_ready=True)
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017 - it still loads
                await asyncio.sleep(0.05)


@pytest.mark.skipif(gpu_is_there(), reason="there is a GPU")
@pytest.mark.parametrize("runtime", ["tensorrt", "tensorrt-fp16", "tensorrt-int8"])
async def test_a_gpu_that_is_wanted_and_not_there_is_refused_with_what_to_install(settings, tmp_path, runtime):
    with pytest.raises(ConflictError) as refused:
        await serve(settings("--runtime", runtime, "--engines-dir", str(tmp_path / "engines")))
    assert refused.value.reason in ("ENGINE_LIBRARY_MISSING", "CUDA_LIBRARY_MISSING", "GPU_MISSING")
    assert "install" in refused.value.message
    assert "--runtime auto" in refused.value.message or "on the CPU" in refused.value.message
    assert not (tmp_path / "engines").exists()


async def standings(metrics, kind="embedder"):
    """Which of the gauges of a model are 1."""
    values = {
        standing: metrics.registry.get_sample_value(
            "facestream_gpu_backend", {"kind": kind, "standing": standing.value}
        )
        for standing in Standing
    }
    return [standing for standing, value in values.items() if value == 1]


class WatchedHealth(Health):
    """Health that notes what it said."""

    def __init__(self):
        super().__init__(())
        self.said = asyncio.Event()

    async def not_serving(self):
        self.said.set()


async def test_metrics_follow_a_model_to_its_gpu_and_back():
    metrics, health = Metrics(), WatchedHealth()
    watch = GpuWatch(metrics, health)
    for standing in (Standing.PREPARING, Standing.LIVE, Standing.LOST):
        serving = "tensorrt-sm86-f16" if standing is Standing.LIVE else "openvino-cpu-f32"
        await asyncio.to_thread(watch.told, Role.EMBEDDER, Status(standing, "tensorrt-sm86-f16", serving, ""))
        assert await standings(metrics) == [standing]
    await asyncio.sleep(0.01)
    assert not health.said.is_set(), "the CPU serves on"
    assert not watch.failed


async def test_health_says_not_serving_when_nothing_runs_a_model_any_more():
    health = WatchedHealth()
    watch = GpuWatch(Metrics(), health)
    await asyncio.to_thread(
        watch.told, Role.DETECTOR, Status(Standing.LOST, "tensorrt-sm86-f16", "", "fell off the bus")
    )
    await health.said.wait()
    assert watch.failed
