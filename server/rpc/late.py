"""Services that come after the port is open: until then every call is answered UNAVAILABLE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc

from server.errors import UnavailableError


class LateServices(grpc.GenericRpcHandler):
    """Collects services as a server does, and serves them once opened.

    A server takes no services after its start, but health must be asked while the models load.

    Args:
        services: that will come, by their full names.
    """

    def __init__(self, services: Sequence[str]) -> None:
        self._services = frozenset(services)
        self._handlers: list[grpc.GenericRpcHandler] = []
        self._open = False

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Takes what the generated add_..._to_server functions give a server."""
        self._handlers.extend(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """The same handlers in another form; the generic ones do."""

    def open(self) -> None:
        """Serves from now on."""
        self._open = True

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The handler of a method, None when there is no such method."""
        if not self._open:
            if handler_call_details.method.strip("/").partition("/")[0] not in self._services:
                return None  # and no metric of its own
            # A streaming handler answers unary calls too, as long as it only refuses.
            return grpc.stream_stream_rpc_method_handler(_refuse, bytes, bytes)
        found = (handler.service(handler_call_details) for handler in self._handlers)
        return next((method for method in found if method is not None), None)


async def _refuse(requests: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    del requests, context
    raise UnavailableError("SERVER_STARTING", "the server is loading its models; try again in a few seconds")
