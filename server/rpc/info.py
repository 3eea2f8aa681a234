"""ServerService: what the server is, what it runs, and how busy it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import grpc
from facestream.v1 import server_pb2, server_pb2_grpc

from server.rpc import wire
from server.rpc.books import ServerBooks


class ServerServicer(server_pb2_grpc.ServerServiceServicer):
    """Answers ServerService.

    Args:
        fixed: what doesn't change while the server runs.
        uptime_ns: since the start.
        open_streams: now.
        books: how busy it is.
        models: what runs which model now; those in `fixed` when None.
    """

    def __init__(
        self,
        *,
        fixed: server_pb2.GetServerInfoResponse,
        uptime_ns: Callable[[], int],
        open_streams: Callable[[], int],
        books: ServerBooks,
        models: Callable[[], Sequence[server_pb2.ModelInfo]] | None = None,
    ) -> None:
        self._fixed = fixed
        self._uptime_ns = uptime_ns
        self._open_streams = open_streams
        self._books = books
        self._models = models

    async def GetServerInfo(  # noqa: N802 - the name in the API
        self, request: server_pb2.GetServerInfoRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> server_pb2.GetServerInfoResponse:
        """What runs where, and within which limits."""
        del request, context
        answer = server_pb2.GetServerInfoResponse()
        answer.CopyFrom(self._fixed)
        answer.uptime.CopyFrom(wire.duration(self._uptime_ns()))
        answer.open_streams = self._open_streams()
        if self._models is not None:
            answer.ClearField("models")
            answer.models.extend(self._models())
        return answer

    async def GetServerStatistics(  # noqa: N802
        self, request: server_pb2.GetServerStatisticsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> server_pb2.GetServerStatisticsResponse:
        """How busy the server is now."""
        del request, context
        return self._books.statistics()
