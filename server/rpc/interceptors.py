"""What happens to every call: an id, metrics, errors to statuses, malformed messages refused."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias, cast

import grpc
from google.protobuf.message import DecodeError

from server.errors import FacestreamError, InferenceError, InvalidInputError
from server.rpc.status import code_of, fitting, trailing_metadata
from server.telemetry.logs import request_id
from server.telemetry.metrics import CallMetrics

_log = logging.getLogger(__name__)

_CANCELLED = "CANCELLED"
"""The client left, or its deadline came: grpc cancels the call's task either way."""

# grpc's handler types are generic over messages that an interceptor doesn't know.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]"


@dataclass(frozen=True, slots=True)
class _Malformed:
    """Stands in for a message that could not be parsed, so that the method itself can answer."""

    reason: str


def refuse_malformed(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """A parser that gives back `_Malformed` where grpc would answer UNKNOWN."""

    def parse_or_stand_in(data: bytes) -> Any:  # noqa: ANN401 - any message
        try:
            return parse(data)
        except DecodeError as error:
            return _Malformed(str(error))

    return parse_or_stand_in


def _checked(message: Any) -> Any:  # noqa: ANN401 - any message
    if isinstance(message, _Malformed):
        raise InvalidInputError(
            "MESSAGE_MALFORMED", "the bytes are no message of this method; check the client's version of the API"
        )
    return message


async def _checked_all(messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for message in messages:
        yield _checked(message)


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps unary-unary, unary-stream and stream-stream methods."""

    def __init__(self, metrics: CallMetrics) -> None:
        self._metrics = metrics

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        """The wrapped handler of a call."""
        method = str(handler_call_details.method)
        handler: Any = await continuation(handler_call_details)  # its type stubs know threaded servers only
        if handler is None or not method.startswith("/facestream."):
            return cast("Handler", handler)
        parse = refuse_malformed(handler.request_deserializer)
        if handler.stream_stream:
            return grpc.stream_stream_rpc_method_handler(
                self._streaming(method, handler.stream_stream, _checked_all), parse, handler.response_serializer
            )
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(
                self._streaming(method, handler.unary_stream, _checked), parse, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(method, handler.unary_unary), parse, handler.response_serializer
        )

    def _unary(self, method: str, behaviour: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, context: Context) -> Any:  # noqa: ANN401 - any message
            request_id.set(uuid.uuid4().hex[:12])
            started = time.monotonic()
            try:
                answer = await behaviour(_checked(request), context)
            except asyncio.CancelledError:
                self._metrics.finished.labels(method, _CANCELLED).inc()
                raise
            except Exception as error:  # noqa: BLE001 - every error becomes a status
                await self._fail(method, context, error)
            finally:
                self._metrics.seconds.labels(method).observe(time.monotonic() - started)
            self._metrics.finished.labels(method, "OK").inc()
            return answer

        return call

    def _streaming(
        self, method: str, behaviour: Callable[..., Awaitable[None]], checked: Callable[[Any], Any]
    ) -> Callable[..., Awaitable[None]]:
        async def call(asked: Any, context: Context) -> None:  # noqa: ANN401 - a message or an iterator of messages
            request_id.set(uuid.uuid4().hex[:12])
            try:
                await behaviour(checked(asked), context)
            except asyncio.CancelledError:
                self._metrics.finished.labels(method, _CANCELLED).inc()
                raise
            except Exception as error:  # noqa: BLE001 - every error becomes a status
                await self._fail(method, context, error)
            self._metrics.finished.labels(method, "OK").inc()

        return call

    async def _fail(self, method: str, context: Context, error: Exception) -> NoReturn:
        if isinstance(error, grpc.aio.AbortError):
            raise error
        known = error if isinstance(error, FacestreamError) else unexpected(method, error)
        code = code_of(known)
        self._metrics.finished.labels(method, code.name).inc()
        _log.info("call refused", extra={"method": method, "status": code.name, "reason": known.reason})
        await context.abort(code, fitting(known.message), trailing_metadata(known))


def unexpected(what: str, error: Exception) -> FacestreamError:
    """The error that a client sees of a fault of ours: its details go to the log only."""
    _log.error("unexpected error", exc_info=error, extra={"method": what})
    return InferenceError("INTERNAL", "the server failed at this call; its log says why")
