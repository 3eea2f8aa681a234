"""Calls of one server: timeouts, translated errors, and writes that are repeated until they are known to be done."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc

from clients.errors import UnavailableError
from clients.rpc import error_of_call

_ResponseT = TypeVar("_ResponseT")

_WRITE_ATTEMPTS = 3
_FIRST_WAIT_S = 0.2


@dataclass(frozen=True, slots=True)
class Calls:
    """How a server is called.

    Attributes:
        target: HOST:PORT.
        timeout_s: of each call, seconds.
    """

    target: str
    timeout_s: float

    async def read(
        self,
        method: Callable[..., Awaitable[_ResponseT]],
        request: Any,  # noqa: ANN401 - any message
        timeout_s: float = 0.0,
    ) -> _ResponseT:
        """Calls once.

        Raises:
            RpcError: the server refused, or cannot be reached.
        """
        try:
            return await method(request, timeout=timeout_s or self.timeout_s)
        except grpc.aio.AioRpcError as error:
            raise error_of_call(error, self.target) from error

    async def write(
        self,
        method: Callable[..., Awaitable[_ResponseT]],
        request: Any,  # noqa: ANN401 - any message
        timeout_s: float = 0.0,
    ) -> _ResponseT:
        """Calls again, with the same request id, when it isn't known whether the server did it.

        Raises:
            RpcError: as `read`.
        """
        for attempt in range(_WRITE_ATTEMPTS - 1):
            try:
                return await self.read(method, request, timeout_s)
            except UnavailableError as error:
                if error.cause.reason:
                    raise
                await asyncio.sleep(_FIRST_WAIT_S * 2**attempt)
        return await self.read(method, request, timeout_s)


def request_id() -> str:
    """A new id for a write."""
    return str(uuid.uuid4())
