"""One StreamRecognize call, from its config to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

import grpc
from facestream.v1 import recognition_pb2, recognition_pb2_grpc

from clients.errors import Cause, InvalidRequestError, NotFoundError, RefusedError, RpcError, UnavailableError
from clients.rpc import error_of_call
from clients.wire.stream import Draining, Ready, StreamMessage, Unreadable, read_stream_message

_Call: TypeAlias = grpc.aio.StreamStreamCall[
    recognition_pb2.StreamRecognizeRequest, recognition_pb2.StreamRecognizeResponse
]

_WORTH_RETRYING = frozenset({"STREAM_IDLE"})
"""Reasons for which a new stream helps although the code says that the request was wrong."""


class Ending(Enum):
    """How a connection ended."""

    FINISHED = auto()
    """The client said that it is done, and the server closed the stream in order."""
    BROKEN = auto()
    """The server or the network ended it. Another attempt may do."""
    REFUSED = auto()
    """The server doesn't want it. Another attempt gets the same answer."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A connection's end, and the error behind it."""

    ending: Ending
    error: RpcError


class Connection:
    """A call on a channel of its own. Every end is a value; nothing but cancellation is raised.

    Args:
        channel: closed with the connection.
        target: for messages.
    """

    def __init__(self, channel: grpc.aio.Channel, target: str) -> None:
        self._channel = channel
        self._target = target
        self._call: _Call = recognition_pb2_grpc.RecognitionServiceStub(channel).StreamRecognize()
        self._done_writing = False
        self._cut_reason = ""

    async def open(self, config: recognition_pb2.StreamRecognizeRequest, *, timeout_s: float) -> Ready | Ended:
        """Sends the config and waits for the server's word that the stream is open."""
        try:
            async with asyncio.timeout(timeout_s):
                if not await self._write(config):
                    return await self._end()
                while isinstance(message := await self.receive(), Unreadable):
                    pass
        except TimeoutError:
            return self._unavailable(f"{self._target} did not open the stream within {timeout_s:g} s")
        if isinstance(message, Ready | Ended):
            return message
        if isinstance(message, Draining):
            return self._unavailable(f"{self._target} is shutting down")
        return self._unavailable(f"{self._target} did not say that the stream is open")

    async def send(self, message: recognition_pb2.StreamRecognizeRequest) -> bool:
        """Hands a message to the wire; False when the call has ended. May be cancelled: the message still goes."""
        return await asyncio.shield(self._write(message))

    async def finish(self) -> None:
        """Says that no frame follows."""
        self._done_writing = True
        await asyncio.shield(self._half_close())

    async def receive(self) -> StreamMessage | Ended:
        """The next message, or the end."""
        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError:
            return await self._end()
        except asyncio.CancelledError:
            # grpc raises it also when the call, not this task, was cancelled.
            if self._cut_reason and not _cancelling():
                return await self._end()
            raise
        # grpc.aio.EOF: a stream that ends in order and one that the server broke off look the same here.
        if not isinstance(message, recognition_pb2.StreamRecognizeResponse):
            return await self._end()
        return read_stream_message(message)

    def cut(self, reason: str) -> None:
        """Ends the call at once; `receive` gives the reason."""
        self._cut_reason = self._cut_reason or reason
        self._call.cancel()

    async def aclose(self) -> None:
        """Ends the call and closes the channel."""
        self._call.cancel()
        await self._channel.close()

    async def _write(self, message: recognition_pb2.StreamRecognizeRequest) -> bool:
        return await _unless_ended(lambda: self._call.write(message))

    async def _half_close(self) -> bool:
        return await _unless_ended(self._call.done_writing)

    async def _end(self) -> Ended:
        if self._cut_reason:
            return self._unavailable(self._cut_reason)
        code = await self._call.code()
        if code is grpc.StatusCode.OK:
            ended = self._unavailable(f"{self._target} ended the stream")
            return Ended(Ending.FINISHED, ended.error) if self._done_writing else ended
        error = error_of_call(await self._error(code), self._target)
        refused = isinstance(error, InvalidRequestError | NotFoundError | RefusedError)
        refused = refused or error.cause.code == "UNIMPLEMENTED"
        refused = refused and error.cause.reason not in _WORTH_RETRYING
        return Ended(Ending.REFUSED if refused else Ending.BROKEN, error)

    async def _error(self, code: grpc.StatusCode) -> grpc.aio.AioRpcError:
        return grpc.aio.AioRpcError(
            code, await self._call.initial_metadata(), await self._call.trailing_metadata(), await self._call.details()
        )

    def _unavailable(self, message: str) -> Ended:
        return Ended(Ending.BROKEN, UnavailableError(message, cause=Cause("UNAVAILABLE")))


def _cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _unless_ended(write: Callable[[], object]) -> bool:
    """Runs a write; False when the call had ended before or ends meanwhile. The reader learns why."""
    try:
        await write()  # type: ignore[misc]
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return False
    except asyncio.CancelledError:
        if _cancelling():
            raise
        return False
    return True
