"""Frames out and answers in, over one connection, until it ends."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from clients.advice import Advice
from clients.allowance import Allowance
from clients.channel import MAX_MESSAGE_BYTES
from clients.connection import Connection, Ended
from clients.encode import encode_jpeg
from clients.errors import ClientError
from clients.flight import Flight
from clients.frames import AnyFrame, Dropped, DropReason, Failed, Frame, PacketFrame, Side
from clients.ledger import Ledger
from clients.options import StreamOptions
from clients.packet_slot import PacketSlot
from clients.slot import Delivery, FrameSlot
from clients.wire.requests import StreamRequest, camera_frame
from clients.wire.stream import Draining, Said

_log = logging.getLogger(__name__)

_WATCH_INTERVAL_S = 0.1


@dataclass(slots=True)
class Exchange:
    """A sender, a receiver and a watchdog around the frames in flight.

    Attributes:
        connection: open.
        slot: where frames come from.
        flight: the frames that are sent; what it holds at the end has no answer.
        allowance: what may be sent; follows the server's advice.
        options: of the stream.
        max_age_ns: a frame that waited longer in the slot isn't sent.
        ledger: takes what became of each frame.
        clock: wall clock, nanoseconds since the epoch.
        stop_at_s: when to end the connection whatever is under way, by the event loop's clock.
    """

    connection: Connection
    slot: FrameSlot | PacketSlot
    flight: Flight
    allowance: Allowance
    options: StreamOptions
    max_age_ns: float
    ledger: Ledger
    clock: Callable[[], int]
    stop_at_s: float = math.inf
    _last_key: int = field(default=0, init=False)
    _listening_since_s: float = field(default=math.inf, init=False)
    _finished_at_s: float = field(default=math.inf, init=False)

    async def run(self) -> Ended:
        """Exchanges until the connection ends."""
        self._skip()  # this connection's decoder knows no picture yet
        async with asyncio.TaskGroup() as group:
            sender = group.create_task(self._send())
            watch = group.create_task(self._watch())
            ended = await self._receive(sender)
            sender.cancel()
            watch.cancel()
        return ended

    async def _send(self) -> None:
        while True:
            # In this order a frame stays in the slot, where a newer one may take its place, until it may go.
            if not await self.slot.filled():
                break
            await self.flight.room()
            await self.allowance.turn()
            if self.flight.is_full or not len(self.slot):
                continue
            frame = await self.slot.take()
            assert frame is not None
            now_ns = self.clock()
            if self.options.delivery is Delivery.EVERY:
                frame = replace(frame, stamp=replace(frame.stamp, captured_at_ns=now_ns))
            elif now_ns - frame.stamp.captured_at_ns > self.max_age_ns:
                self.ledger.settle(frame, Dropped(Side.CLIENT, DropReason.TOO_OLD))
                self._skip()
                continue
            # From the slot to the flight without an await between: a frame is always in one of them.
            self.flight.depart(frame, at_s=_now_s())
            self.allowance.used()
            if not await self._send_frame(frame):
                return
        # The server's decoder gives out what it holds back when no packet follows.
        await self.flight.landed(but=self.allowance.held_back)
        self._finished_at_s = _now_s()
        await self.connection.finish()

    def _skip(self) -> None:
        """Goes on with a key frame where packets are sent, because those before it would build on nothing."""
        for frame in self.slot.skip():
            self.ledger.displaced(frame)

    async def _send_frame(self, frame: AnyFrame) -> bool:
        """Encodes and sends; False when the connection has ended."""
        try:
            message = await self._message(frame)
            if message.ByteSize() > MAX_MESSAGE_BYTES:
                raise ClientError(
                    f"the frame takes {message.ByteSize()} bytes, {MAX_MESSAGE_BYTES} are possible; lower --quality or "
                    "set --max-width, or have the camera make less of it"
                )
        except ClientError as error:
            self.flight.land(frame.stamp.sequence)
            self.ledger.settle(frame, Failed(Side.CLIENT, "FRAME_NOT_SENDABLE", error.message))
            return True
        self.flight.sent(frame.stamp.sequence)
        if frame.key:
            self._last_key = frame.stamp.sequence
        return await self.connection.send(message)

    async def _message(self, frame: AnyFrame) -> StreamRequest:
        if isinstance(frame, PacketFrame):
            return camera_frame(frame.stamp, frame.data, frame.codec)
        jpeg = await asyncio.to_thread(encode_jpeg, frame.image, self.allowance.encoding)
        return camera_frame(frame.stamp, jpeg)

    async def _receive(self, sender: asyncio.Task[None]) -> Ended:
        while True:
            await self.ledger.room()
            self._listening_since_s = _now_s()
            message = await self.connection.receive()
            self._listening_since_s = math.inf
            match message:
                case Ended():
                    return message
                case Draining():
                    _log.info("the server is about to stop; the stream goes on elsewhere or later")
                    sender.cancel()
                case Advice():
                    _log.info("the server advises %s", message)
                    self.allowance.follow(message)
                case Said():
                    self._land(message, sender)
                case _:
                    _log.warning("a message of an unknown kind was left out; the server is newer than this client")

    def _land(self, said: Said, sender: asyncio.Task[None]) -> None:
        frame = self.flight.land(said.sequence)
        if frame is None:
            _log.warning("an answer to frame %d, which is not under way, was left out", said.sequence)
            return
        draining = isinstance(said.outcome, Dropped) and said.outcome.reason is DropReason.DRAINING
        if draining:
            sender.cancel()
        if draining and self.options.delivery is Delivery.EVERY and isinstance(frame, Frame):
            self.slot.put_back([frame])
            return
        self.ledger.settle(frame, said.outcome)
        needs_key = isinstance(said.outcome, Failed) and said.outcome.reason == "KEY_FRAME_NEEDED"
        # Unless one is on its way already: the server said so of a frame before it.
        if needs_key and self._last_key <= said.sequence:
            self._skip()

    async def _watch(self) -> None:
        """Cuts the connection when something that must happen doesn't."""
        patience = self.options.patience
        while True:
            now_s = _now_s()
            oldest_s = self.flight.oldest_s()
            if oldest_s is not None and now_s > max(oldest_s, self._listening_since_s) + patience.answer_s:
                self.connection.cut(f"no answer to a frame for {patience.answer_s:g} s")
            elif now_s > self._finished_at_s + patience.stop_s:
                self.connection.cut(f"the server did not close the stream within {patience.stop_s:g} s")
            elif now_s > self.stop_at_s:
                self.connection.cut("the stream was stopped")
            await asyncio.sleep(_WATCH_INTERVAL_S)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
