"""What one camera is told: answers counted, kept until the camera reads them, and written in their order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from facestream.v1 import recognition_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from server.errors import FacestreamError
from server.pipeline.recognise import Recognition
from server.pipeline.slot import DropReason
from server.rpc import wire
from server.rpc.status import status_of
from server.telemetry.metrics import FrameMetrics

_log = logging.getLogger(__name__)

_ROOM = 64
"""Answers that wait for a client to read them. When full, no frame is read: a slow client slows itself only."""

Response = recognition_pb2.StreamRecognizeResponse


class Outbox:
    """The answers of one stream. One task runs `write_all`; whoever puts something in waits while it is full.

    Args:
        write: sends an answer; returns when the transport took it, raises ConnectionError when the camera is gone.
        metrics: counted into.
    """

    def __init__(self, write: Callable[[Response], Awaitable[None]], metrics: FrameMetrics) -> None:
        self._write = write
        self._metrics = metrics
        self._waiting: asyncio.Queue[Response | None] = asyncio.Queue(_ROOM)

    async def say(self, response: Response) -> None:
        """Tells what is no answer to a frame."""
        await self._waiting.put(response)

    async def result(
        self, sequence: int, captured_at: Timestamp, recognition: Recognition, *, queue_ns: int, total_ns: int
    ) -> None:
        """Answers a frame with who is in it.

        Args:
            sequence: of the frame.
            captured_at: of the frame.
            recognition: who is in it.
            queue_ns: how long it waited, nanoseconds.
            total_ns: how long it was here, nanoseconds.
        """
        self._count(recognition, queue_ns, total_ns)
        result = wire.result_message(recognition, queue_ns=queue_ns, total_ns=total_ns)
        await self._waiting.put(Response(sequence=sequence, captured_at=captured_at, result=result))

    async def error(self, sequence: int, captured_at: Timestamp, error: FacestreamError) -> None:
        """Answers a frame with what was wrong with it."""
        self._metrics.answered.labels("error").inc()
        await self._waiting.put(Response(sequence=sequence, captured_at=captured_at, error=status_of(error)))

    async def dropped(self, sequence: int, captured_at: Timestamp, reason: DropReason) -> None:
        """Answers a frame that is not worked on."""
        self._metrics.answered.labels("dropped").inc()
        self._metrics.dropped.labels(reason.value).inc()
        await self._waiting.put(
            Response(sequence=sequence, captured_at=captured_at, dropped=wire.dropped_message(reason))
        )

    async def close(self) -> None:
        """Has `write_all` end once everything is written."""
        await self._waiting.put(None)

    async def write_all(self) -> None:
        """Writes until `close`, or until the camera is gone: then everything is thrown away."""
        while (response := await self._waiting.get()) is not None:
            try:
                await self._write(response)
            except ConnectionError:
                _log.info("camera gone")
                break
        while response is not None:  # nobody hears these, and nobody may wait for room to say them
            response = await self._waiting.get()

    def _count(self, recognition: Recognition, queue_ns: int, total_ns: int) -> None:
        self._metrics.answered.labels("result").inc()
        for stage, spent_ns in {**recognition.spent_ns, "queue": queue_ns, "total": total_ns}.items():
            self._metrics.stages.labels(stage).observe(spent_ns / 1e9)
        for face in recognition.recognised:
            self._metrics.faces.labels(type(face.answer).__name__.lower()).inc()
        for reason, looks in recognition.looks.items():
            self._metrics.embedded.labels(reason).inc(looks)
