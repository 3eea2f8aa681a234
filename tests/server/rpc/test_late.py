"""Until the models are loaded every call is told to wait; afterwards it is served."""

from __future__ import annotations

import grpc
import pytest
from facestream.v1 import recognition_pb2_grpc, server_pb2, server_pb2_grpc
from prometheus_client import generate_latest

from server.rpc.books import ServerBooks
from server.rpc.info import ServerServicer
from server.rpc.late import LateServices
from tests.server.rpc.served import refused_by, served


@pytest.fixture
def late(metrics):
    services = LateServices(["facestream.v1.ServerService", "facestream.v1.RecognitionService"])
    fixed = server_pb2.GetServerInfoResponse(version="1.2.3")
    books = ServerBooks(lambda: 0, metrics)
    servicer = ServerServicer(fixed=fixed, uptime_ns=lambda: 61_500_000_000, open_streams=lambda: 4, books=books)
    server_pb2_grpc.add_ServerServiceServicer_to_server(servicer, services)
    return services


@pytest.fixture
def channel_to(late, metrics):
    return served(lambda server: server.add_generic_rpc_handlers((late,)), metrics)


async def test_before_opening_a_unary_call_is_unavailable(channel_to):
    async with channel_to as channel:
        call = server_pb2_grpc.ServerServiceStub(channel).GetServerInfo(server_pb2.GetServerInfoRequest())
        refusal = await refused_by(call)
    assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "SERVER_STARTING")


async def test_before_opening_a_stream_is_unavailable(channel_to):
    # Nothing is sent: grpc.aio's client reports its own write to a stream that has ended as INTERNAL.
    async with channel_to as channel:
        stream = recognition_pb2_grpc.RecognitionServiceStub(channel).StreamRecognize()
        refusal = await refused_by(stream.read())
    assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "SERVER_STARTING")


async def test_after_opening_calls_are_served_over_the_same_connection(channel_to, late):
    async with channel_to as channel:
        stub = server_pb2_grpc.ServerServiceStub(channel)
        await refused_by(stub.GetServerInfo(server_pb2.GetServerInfoRequest()))
        late.open()
        info = await stub.GetServerInfo(server_pb2.GetServerInfoRequest())
    assert (info.version, info.uptime.seconds, info.uptime.nanos, info.open_streams) == ("1.2.3", 61, 500_000_000, 4)


async def test_after_opening_a_method_that_is_not_there_is_unimplemented(channel_to, late):
    late.open()
    async with channel_to as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary("/facestream.v1.ServerService/Nothing")(b"")
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_what_is_fixed_is_not_changed_by_answers(channel_to, late):
    late.open()
    async with channel_to as channel:
        stub = server_pb2_grpc.ServerServiceStub(channel)
        first = await stub.GetServerInfo(server_pb2.GetServerInfoRequest())
        second = await stub.GetServerInfo(server_pb2.GetServerInfoRequest())
    assert first == second


async def test_before_opening_unknown_services_do_not_exist_and_are_not_counted(channel_to, metrics):
    async with channel_to as channel:
        refusal = await refused_by(channel.unary_unary("/some.Scanner/Random123")(b""))
    assert refusal.code == "UNIMPLEMENTED"
    assert "Random123" not in generate_latest(metrics.registry).decode()
