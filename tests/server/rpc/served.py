"""Servicers in a grpc.aio server inside the test, behind the same interceptor as in the real one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from server.rpc.interceptors import CallInterceptor
from server.telemetry.metrics import Metrics


@dataclass(frozen=True)
class Refused:
    """How a call was refused."""

    code: str
    reason: str
    message: str
    field: str = ""


@asynccontextmanager
async def served(add: Callable[[grpc.aio.Server], object], metrics: Metrics) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server to which `add` adds services."""
    server = grpc.aio.server(interceptors=[CallInterceptor(metrics.calls)])
    add(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(0)


async def refused_by(call) -> Refused:
    """How the server refuses a call, which it must."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return refusal_in(raised.value)


def refusal_in(error: grpc.aio.AioRpcError) -> Refused:
    """The refusal that an error stands for."""
    status = rpc_status.from_call(error)
    if status is None:
        return Refused(error.code().name, "", error.details() or "")
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    field = ""
    if len(status.details) > 1:
        assert status.details[1].Unpack(request)
        field = request.field_violations[0].field
    return Refused(error.code().name, info.reason, status.message, field)
