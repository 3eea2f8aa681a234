"""A camera's stream that survives lost connections and accounts for every frame."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import grpc

from clients.advice import Advice
from clients.allowance import Allowance
from clients.answers import AnswerQueue
from clients.backoff import Backoff
from clients.channel import open_channel
from clients.connection import Connection, Ended, Ending
from clients.errors import ClientError, RpcError, SourceError
from clients.exchange import Exchange
from clients.feed import Feed
from clients.flight import Flight
from clients.frames import AnyFrame, DropReason, FrameAnswer, Lost, Tally
from clients.ledger import Ledger
from clients.options import StreamOptions
from clients.packet_slot import PacketSlot
from clients.slot import Delivery, FrameSlot
from clients.sources.source import PacketSource, Source
from clients.wire.requests import StreamRequest, stream_config
from clients.wire.stream import Ready

_log = logging.getLogger(__name__)

_MOST_AGE_S = 60.0
"""The longest that a server lets a frame wait, if it is asked to."""

_ANSWERS = 64
"""Answers that wait for the program. When it doesn't take them, nothing more is read from server and source."""

_ATTEMPTS = 3
"""A frame during which so many connections broke is not sent again: it may be what breaks them."""


class RecognitionStream:
    """Sends a source's frames and answers every frame that was read exactly once, whatever happens on the way.

        async with RecognitionStream("localhost:50051", source, StreamOptions()) as stream:
            async for answer in stream:
                ...

    Answers come in the order in which they are known. After a lost connection the stream connects again, with
    growing waits; a frame that was lost with the connection is answered as `Lost`, or with EVERY sent again. Packets
    are never sent again: the stream goes on with their next key frame.

    Args:
        target: HOST:PORT of the server.
        source: read from the first connection on, in a thread of its own; closed with the stream.
        options: what the stream is.
        connect: opens a channel; each connection gets one of its own.
        clock: wall clock, nanoseconds since the epoch.

    Attributes:
        connections: how often the server opened the stream.
        ready: what the server said when it last did; None before.
    """

    def __init__(
        self,
        target: str,
        source: Source | PacketSource,
        options: StreamOptions,
        *,
        connect: Callable[[str], grpc.aio.Channel] = open_channel,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        every = options.delivery is Delivery.EVERY
        patience = options.patience
        self.connections = 0
        self.ready: Ready | None = None
        self._target = target
        self._options = options
        self._connect = connect
        self._clock = clock
        packets = source if isinstance(source, PacketSource) else None
        self._forwards = packets is not None
        self._slot = PacketSlot(options.delivery) if self._forwards else FrameSlot(options.delivery)
        self._flight = Flight(1)
        self._allowance = Allowance(options, self._flight, packets)
        self._feed = Feed(source, self._slot, paced=not (every or source.live), clock=clock)
        self._answers = AnswerQueue(_ANSWERS)
        self._ledger = Ledger(self._answers, clock)
        self._backoff = Backoff(patience.first_wait_s, patience.longest_wait_s)
        self._stopping = asyncio.Event()
        self._losses: dict[int, int] = {}
        self._opening: Connection | None = None
        self._exchange: Exchange | None = None
        self._feeding: asyncio.Task[SourceError | None] | None = None
        self._runner: asyncio.Task[None] | None = None

    # ---- the program's side

    @property
    def advice(self) -> Advice | None:
        """What the server last said that it can take; None when it said nothing."""
        return self._allowance.advice

    @property
    def tally(self) -> Tally:
        """How many frames were read, and what became of them."""
        return self._ledger.tally

    async def __aenter__(self) -> Self:
        self._runner = asyncio.create_task(self._run(), name="facestream-stream")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> FrameAnswer:
        """The next answer.

        Raises:
            RpcError: the server refuses the stream, or was out of reach for longer than the patience allows.
            SourceError: the source broke off. The answers to all its frames came before.
        """
        if self._runner is None:
            raise RuntimeError("a RecognitionStream works inside `async with`")
        answer = await self._answers.take()
        if answer is not None:
            return answer
        await self._runner
        raise StopAsyncIteration

    def stop(self) -> None:
        """Reads no further frame and gives the answers under way a little time. The iteration ends by itself."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._ledger.displaced_by = DropReason.CLOSING
        self._slot.close()
        self._drop(self._slot.clear())
        self._allowance.release()
        if self._opening is not None:
            self._opening.cut("the stream was stopped")
        if self._exchange is not None:
            self._exchange.stop_at_s = asyncio.get_running_loop().time() + self._options.patience.stop_s

    async def aclose(self) -> None:
        """Ends the stream at once. Answers that nobody took are gone."""
        if self._runner is None:
            await self._feed.aclose()
            return
        self._answers.close()
        if not self._runner.done():
            self._runner.cancel()
            await asyncio.wait([self._runner])
        if not self._runner.cancelled():
            self._runner.exception()

    # ---- connecting

    async def _run(self) -> None:
        """Streams until the end.

        Raises:
            ClientError: why the stream ended early.
        """
        try:
            failure: ClientError | None = await self._stream()
            failure = await self._end_feeding() or failure
            self._drop(self._slot.clear())
        finally:
            self._answers.close()
            try:
                await self._end_feeding()
            finally:
                await self._feed.aclose()
        if failure is not None:
            raise failure

    async def _stream(self) -> RpcError | None:
        """Connects, again and again, until there is nothing left to do; returns the error that makes it stop early."""
        loop = asyncio.get_running_loop()
        patience = self._options.patience
        without_since_s, attempts = loop.time(), 0
        while True:
            connections = self.connections
            ended = await self._one_connection()
            if ended.ending is Ending.REFUSED:
                return ended.error
            if self._is_done():
                return None
            if self.connections > connections:
                without_since_s, attempts = loop.time(), 0
                self._backoff.reset()
            attempts += 1
            left_s = without_since_s + patience.give_up_s - loop.time()
            if attempts > patience.max_reconnects or left_s <= 0:
                return ended.error
            wait_s = min(left_s, max(self._backoff.next_s(), ended.error.cause.retry_after_s))
            _log.warning("%s; trying again in %.1f s", ended.error.message, wait_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait_s)
            if self._is_done():
                return None

    def _is_done(self) -> bool:
        if self._stopping.is_set():
            return True
        nothing_left = self._slot.closed and not len(self._slot)
        # A file that plays in real time is over when it is over; only EVERY delivers the rest later.
        return nothing_left or (self._slot.closed and self._options.delivery is Delivery.NEWEST)

    async def _one_connection(self) -> Ended:
        connection = Connection(self._connect(self._target), self._target)
        self._opening = connection
        try:
            ready = await connection.open(self._config(), timeout_s=self._options.patience.ready_s)
            self._opening = None
            if isinstance(ready, Ended):
                return ready
            self._exchange = self._begin(ready, connection)
            ended = await self._exchange.run()
            self._clear_flight(ended)
            return ended
        finally:
            self._opening = self._exchange = None
            await connection.aclose()

    def _config(self) -> StreamRequest:
        options = self._options
        return stream_config(
            camera=options.camera,
            gallery=options.gallery,
            target_far=options.target_far,
            max_frame_age_s=self._max_frame_age_s(),
        )

    def _max_frame_age_s(self) -> float:
        """0 leaves it to the server, whose limit is one for cameras: a file's frame must not be dropped for waiting."""
        options = self._options
        patient = options.delivery is Delivery.EVERY and not options.max_frame_age_s
        return _MOST_AGE_S if patient else options.max_frame_age_s

    def _begin(self, ready: Ready, connection: Connection) -> Exchange:
        """The exchange over a connection that is open. The first one starts the feed."""
        _log.info("stream %s open: %s, gallery %s", ready.session, self._target, ready.gallery)
        self.connections += 1
        self.ready = ready
        self._allowance.forget()
        if not self._stopping.is_set():
            self._ledger.displaced_by = DropReason.SUPERSEDED
        if self._feeding is None:
            self._feeding = asyncio.create_task(self._feed.run(self._ledger), name="facestream-feed")
        return Exchange(
            connection,
            self._slot,
            self._flight,
            self._allowance,
            self._options,
            max_age_ns=ready.max_frame_age_s * 1e9 if ready.max_frame_age_s > 0 else math.inf,
            ledger=self._ledger,
            clock=self._clock,
        )

    # ---- accounting

    def _clear_flight(self, ended: Ended) -> None:
        """Decides about the frames that were under way when a connection ended."""
        if not self._stopping.is_set():
            self._ledger.displaced_by = DropReason.NOT_CONNECTED
        sent, unsent = self._flight.crash()
        resends = self._options.delivery is Delivery.EVERY and not self._forwards and not self._stopping.is_set()
        again = []
        for frame in sent:
            sequence = frame.stamp.sequence
            self._losses[sequence] = self._losses.get(sequence, 0) + 1
            if resends and self._losses[sequence] < _ATTEMPTS:
                again.append(frame)
            else:
                self._ledger.settle(frame, Lost(ended.error.message))
        self._drop(self._slot.put_back([*again, *unsent]))
        self._losses = {frame.stamp.sequence: self._losses[frame.stamp.sequence] for frame in again}

    def _drop(self, frames: Sequence[AnyFrame]) -> None:
        for frame in frames:
            self._ledger.displaced(frame)

    async def _end_feeding(self) -> SourceError | None:
        """Ends the feed if it still runs; returns the error with which the source ended."""
        if self._feeding is None:
            return None
        self._slot.close()
        if not self._feeding.done():
            self._feeding.cancel()
            await asyncio.wait([self._feeding])
        return None if self._feeding.cancelled() else self._feeding.result()
