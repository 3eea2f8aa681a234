"""Messages onto a call that streams answers."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.message import Message


async def write(context: grpc.aio.ServicerContext[Any, Any], message: Message) -> None:
    """Writes a message; returns when the transport took it.

    Raises:
        ConnectionError: the client is gone.
    """
    try:
        await context.write(message)
    except grpc.aio.BaseError as error:
        raise ConnectionError("the client hung up") from error
