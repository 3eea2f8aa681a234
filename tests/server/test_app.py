"""A server that must not start says why, before or after its models are loaded, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket

import grpc
import pytest
from facestream.v1 import server_pb2, server_pb2_grpc

from server.app import serve
from server.errors import ConflictError, DataDirectoryInUseError, InvalidInputError, ModelError
from server.settings import load_settings
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


async def test_a_server_that_others_could_reach_is_refused_before_anything_is_made(settings, tmp_path):
    with pytest.raises(InvalidInputError, match="--allow-plaintext"):
        await serve(settings(listen="0.0.0.0:0"))
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
