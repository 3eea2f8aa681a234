"""Health is NOT_SERVING, then SERVING, then NOT_SERVING, for the whole server and for each service."""

from __future__ import annotations

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from server.rpc.health import Health

Status = health_pb2.HealthCheckResponse
SERVICES = ("facestream.v1.One", "facestream.v1.Two")


@pytest.fixture
def health():
    return Health(SERVICES)


@pytest.fixture
async def stub(health):
    server = grpc.aio.server()
    await health.register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield health_pb2_grpc.HealthStub(channel)
    await server.stop(0)


async def statuses(stub):
    names = ("", *SERVICES)
    return {(await stub.Check(health_pb2.HealthCheckRequest(service=name))).status for name in names}


async def test_a_server_that_starts_does_not_serve(stub):
    assert await statuses(stub) == {Status.NOT_SERVING}


async def test_it_serves_when_it_is_told_and_no_longer_when_it_drains(stub, health):
    await health.serving()
    assert await statuses(stub) == {Status.SERVING}
    await health.not_serving()
    assert await statuses(stub) == {Status.NOT_SERVING}


async def test_watchers_hear_of_every_change(stub, health):
    watch = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICES[0]))
    seen = [(await watch.read()).status]
    await health.serving()
    seen.append((await watch.read()).status)
    await health.not_serving()
    seen.append((await watch.read()).status)
    watch.cancel()
    assert seen == [Status.NOT_SERVING, Status.SERVING, Status.NOT_SERVING]


async def test_a_service_that_is_not_there_is_not_found(stub):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Check(health_pb2.HealthCheckRequest(service="facestream.v1.Three"))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
