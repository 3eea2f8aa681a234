"""One camera's stream: a reader and workers around the newest frame."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from facestream.v1 import recognition_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from server.domain import EncodedImage, GalleryName
from server.errors import FacestreamError, InvalidInputError, UnavailableError
from server.pipeline.allowance import CameraAllowance, LookAllowance
from server.pipeline.flow import Advice, Flow
from server.pipeline.packets import PacketPictures, Pictured
from server.pipeline.recognise import Recognition
from server.pipeline.session import CameraName, Ticket
from server.pipeline.slot import DropReason, NewestFrame, Waiting
from server.rpc import wire
from server.rpc.interceptors import unexpected
from server.rpc.outbox import Outbox, Response
from server.rpc.permits import Permits
from server.rpc.sessions import FrameSession

_log = logging.getLogger(__name__)

_CAMERA = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ADVISE_EVERY_NS = 10**9

Request = recognition_pb2.StreamRecognizeRequest


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What holds for every stream.

    Attributes:
        target_far: when the camera asks for none.
        frames_at_once: frames of one camera that are worked on at the same time.
        max_frame_age_ns: when the camera asks for none.
        idle_timeout_s: a stream that sends nothing for so long is ended.
        drain_ns: how long a stopping server answers what it holds.
        brake_s: after a drop a camera's next frame is read only so much later. One that sends without limit then waits
            for room on its own connection, instead of keeping the server busy with reading what it will drop.
    """

    target_far: float
    frames_at_once: int
    max_frame_age_ns: int
    idle_timeout_s: float
    drain_ns: int
    brake_s: float = 0.01


@dataclass(frozen=True, slots=True)
class StreamClock:
    """Time: `monotonic_ns` for waiting, `wall_ns` since the epoch for timestamps."""

    monotonic_ns: Callable[[], int]
    wall_ns: Callable[[], int]


@dataclass(frozen=True, slots=True)
class StreamShare:
    """What all streams share.

    Attributes:
        limits: what holds for each.
        open_session: for a camera's frames.
        open_packets: for a camera's packets of video, which it turns into pictures.
        permits: one for each frame or still image that is in work, in equal shares for the cameras; still images
            together count as one.
        flow: what cameras are advised.
        allowance: of close looks at faces, of which each camera has its part.
        draining: set when the server is about to stop.
    """

    limits: StreamLimits
    open_session: Callable[[CameraName, CameraAllowance], FrameSession]
    open_packets: Callable[[], PacketPictures[Any]]
    permits: Permits
    flow: Flow
    allowance: LookAllowance
    draining: asyncio.Event


@dataclass(frozen=True, slots=True)
class _Opened:
    """What a camera asked for, and what serves it."""

    name: CameraName
    max_age_ns: int
    session: FrameSession
    allowance: CameraAllowance
    packets: PacketPictures[_Frame]


@dataclass(frozen=True, slots=True)
class _Frame:
    """One frame on its way."""

    sequence: int
    captured_at: Timestamp
    image: EncodedImage


@dataclass(slots=True)
class CameraStream:
    """Answers every frame of one stream exactly once.

    Attributes:
        outbox: of this stream alone; takes the answers.
        clock: time.
        share: what all streams share.
    """

    outbox: Outbox
    clock: StreamClock
    share: StreamShare
    _wake: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _taken: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _reading: bool = field(default=True, init=False)
    _last_sequence: int = field(default=0, init=False)
    _newest_answered: asyncio.Event | None = field(default=None, init=False)
    _advice: Advice | None = field(default=None, init=False)
    _advised_ns: int = field(default=0, init=False)

    async def run(self, requests: AsyncIterator[Request]) -> None:
        """Serves the stream until the camera ends it or the server drains.

        Raises:
            InvalidInputError: no config first, a second config, or a message that is neither config nor frame.
            UnavailableError: SERVER_DRAINING before the config came.
        """
        messages = aiter(requests)
        opened = self._open(await self._first(messages))
        now = self.clock.monotonic_ns()
        await self.outbox.say(self._ready(opened))
        await self.outbox.say(self._told(self.share.flow.enter(opened.name.session, now), now))
        try:
            failure = await self._serve(messages, opened)
        finally:
            self.share.flow.leave(opened.name.session)
            self.share.permits.forget(opened.name.session)
            try:
                opened.session.close()
            finally:
                await opened.packets.aclose()
        if failure is not None:
            raise failure

    async def _serve(self, messages: AsyncIterator[Request], opened: _Opened) -> FacestreamError | None:
        slot: NewestFrame[_Frame] = NewestFrame(opened.max_age_ns)
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(self.outbox.write_all())
            workers = [group.create_task(self._work(opened, slot)) for _ in range(self.share.limits.frames_at_once)]
            failure = await self._read(messages, opened, slot)
            await self._take_held_back(opened, slot)
            self._reading = False
            self._wake.set()
            await asyncio.gather(*workers)
            await self.outbox.close()
            await writer
        return failure

    async def _first(self, messages: AsyncIterator[Request]) -> Request | None:
        coming = asyncio.ensure_future(self._next(messages))
        drained = asyncio.ensure_future(self.share.draining.wait())
        try:
            await asyncio.wait((coming, drained), return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                return coming.result()
            raise UnavailableError("SERVER_DRAINING", "the server is stopping; open the stream again in a moment")
        finally:
            coming.cancel()
            drained.cancel()

    async def _next(self, messages: AsyncIterator[Request]) -> Request | None:
        """The next message, or None when the camera is done.

        Raises:
            InvalidInputError: it says nothing for too long.
        """
        try:
            async with asyncio.timeout(self.share.limits.idle_timeout_s):
                return await anext(messages)
        except StopAsyncIteration:
            return None
        except TimeoutError:
            raise InvalidInputError(
                "STREAM_IDLE",
                f"the stream sent nothing for {self.share.limits.idle_timeout_s:g} s and is ended; open a new one",
            ) from None

    def _open(self, first: Request | None) -> _Opened:
        if first is None or first.WhichOneof("message") != "config":
            raise InvalidInputError(
                "CONFIG_MISSING", "the first message of a stream must be its config; send that first", field="config"
            )
        config = first.config
        if not _CAMERA.fullmatch(config.camera):
            raise InvalidInputError(
                "CAMERA_INVALID",
                f"{config.camera[:80]!r} is no camera name; write 1 to 64 characters of A-Z, a-z, 0-9, '.', '_', '-'",
                field="config.camera",
            )
        name = CameraName(
            config.camera,
            uuid.uuid4().hex[:12],
            GalleryName.parse(config.gallery, "config.gallery"),
            wire.far_from(config.target_far, self.share.limits.target_far),
        )
        max_age_ns = wire.age_ns_from(config, self.share.limits.max_frame_age_ns)
        allowance = self.share.allowance.camera()
        session = self.share.open_session(name, allowance)
        return _Opened(name, max_age_ns, session, allowance, self.share.open_packets())

    def _ready(self, opened: _Opened) -> Response:
        name = opened.name
        _log.info("stream opened", extra={"camera": name.camera, "session": name.session, "gallery": str(name.gallery)})
        return Response(
            ready=recognition_pb2.StreamReady(
                session=name.session,
                gallery=str(name.gallery),
                target_far=name.far,
                max_frame_age=wire.duration(opened.max_age_ns),
            )
        )

    def _told(self, advice: Advice, now_ns: int) -> Response:
        self._advice, self._advised_ns = advice, now_ns
        return Response(advice=wire.advice_message(advice))

    async def _advise(self, opened: _Opened, *, at_once: bool = False) -> None:
        """Tells the camera what it may send, when that has changed; looks only now and then unless it is urgent."""
        now = self.clock.monotonic_ns()
        if now - self._advised_ns < _ADVISE_EVERY_NS and not at_once:
            return
        self._advised_ns = now
        advice = self.share.flow.advise(opened.name.session, now)
        if advice != self._advice:
            await self.outbox.say(self._told(advice, now))

    async def _read(
        self, messages: AsyncIterator[Request], opened: _Opened, slot: NewestFrame[_Frame]
    ) -> FacestreamError | None:
        """Takes frames in until the camera ends, errs, or the server drains; returns the camera's error."""
        drained = asyncio.ensure_future(self.share.draining.wait())
        coming: asyncio.Future[Request | None] | None = None
        try:
            while True:
                coming = asyncio.ensure_future(self._next(messages))
                await asyncio.wait((coming, drained), return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    await self.outbox.say(
                        Response(drain=recognition_pb2.Drain(grace=wire.duration(self.share.limits.drain_ns)))
                    )
                    return None
                message = coming.result()
                if message is None:
                    return None
                self.share.flow.came(opened.name.session, self.clock.monotonic_ns())
                await self._accept(message, opened, slot)
        except FacestreamError as error:
            return error
        finally:
            drained.cancel()
            if coming is not None:
                coming.cancel()

    async def _accept(self, message: Request, opened: _Opened, slot: NewestFrame[_Frame]) -> None:
        if message.WhichOneof("message") != "frame":
            raise InvalidInputError(
                "FRAME_MISSING",
                "after the config every message must be a frame; open a new stream for another config",
                field="frame",
            )
        captured_at = wire.timestamp(self.clock.wall_ns())
        sequence = message.frame.sequence
        arrived_ns = self.clock.monotonic_ns()
        try:
            if message.frame.HasField("captured_at"):
                wire.time_ns_from(message.frame.captured_at, "frame.captured_at")
                captured_at = message.frame.captured_at
            self._check_sequence(sequence)
            frame = _Frame(sequence, captured_at, wire.image_from(message.frame.image, in_stream=True))
        except InvalidInputError as error:
            await self.outbox.error(sequence, captured_at, error)
            return
        await self._offer(await opened.packets.take(frame, sequence, frame.image), opened, slot, arrived_ns)

    async def _offer(
        self, pictured: Iterable[Pictured[_Frame]], opened: _Opened, slot: NewestFrame[_Frame], arrived_ns: int
    ) -> None:
        """Puts frames whose pictures are there in the waiting place, one after the other."""
        for frame, image in pictured:
            if isinstance(image, FacestreamError):
                await self.outbox.error(frame.sequence, frame.captured_at, image)
                continue
            superseded = slot.offer(replace(frame, image=image), at_ns=arrived_ns)
            self._wake.set()
            if superseded is not None:
                opened.allowance.drop()
                await self.outbox.dropped(superseded.sequence, superseded.captured_at, DropReason.SUPERSEDED)
                await self._slow_down(opened, image)

    async def _slow_down(self, opened: _Opened, image: EncodedImage) -> None:
        """After a drop. A camera of packets can't leave one out, so that it is neither advised nor kept waiting."""
        if not image.decoded_here:
            await self._advise(opened, at_once=True)
            await asyncio.sleep(self.share.limits.brake_s)

    async def _take_held_back(self, opened: _Opened, slot: NewestFrame[_Frame]) -> None:
        """The pictures that a decoder held back come all at once, and no newer one is on its way: none is dropped."""
        for pictured in await opened.packets.finish():
            while not slot.empty:
                self._taken.clear()
                await self._taken.wait()
            await self._offer([pictured], opened, slot, self.clock.monotonic_ns())

    def _check_sequence(self, sequence: int) -> None:
        if sequence <= self._last_sequence:
            raise InvalidInputError(
                "SEQUENCE_NOT_INCREASING",
                f"frame {sequence} comes after frame {self._last_sequence}; number frames upwards from 1",
                field="frame.sequence",
            )
        self._last_sequence = sequence

    async def _work(self, opened: _Opened, slot: NewestFrame[_Frame]) -> None:
        while True:
            if slot.empty:
                if not self._reading:
                    return
                await self._wake.wait()
                self._wake.clear()
            else:
                await self._take(opened, slot)

    async def _take(self, opened: _Opened, slot: NewestFrame[_Frame]) -> None:
        """Waits for its turn among all cameras, and then works on the newest frame that this one has."""
        asked_ns = self.clock.monotonic_ns()
        async with self.share.permits.held(opened.name.session):
            waited_ns = self.clock.monotonic_ns() - asked_ns
            waiting, expired = slot.take(at_ns=self.clock.monotonic_ns())
            self._taken.set()
            if waiting is not None:
                before, answered = self._newest_answered, asyncio.Event()
                self._newest_answered = answered
                now_ns = self.clock.monotonic_ns()
                queue_ns = now_ns - waiting.arrived_at_ns
                opened.allowance.frame(waited_ns=waited_ns, work_s=self.share.flow.work_s, at_ns=now_ns)
                captured_ns = waiting.frame.captured_at.ToNanoseconds()
                ticket = opened.session.ticket(captured_ns, waiting.arrived_at_ns, self.clock.wall_ns())
                try:
                    recognition = await self._outcome(opened, ticket, waiting.frame.image)
                except BaseException:
                    answered.set()
                    raise
        # nothing is said while others wait for the permit: a camera that reads nothing would hold it for ever
        if expired is not None:
            opened.allowance.drop()
            await self.outbox.dropped(expired.sequence, expired.captured_at, DropReason.TOO_OLD)
        if waiting is None:
            return
        try:
            if before is not None:
                await before.wait()
            await self._answer(waiting, recognition, queue_ns)
            await self._advise(opened)
        finally:
            answered.set()

    async def _answer(
        self, waiting: Waiting[_Frame], recognition: Recognition | FacestreamError, queue_ns: int
    ) -> None:
        frame = waiting.frame
        if isinstance(recognition, FacestreamError):
            await self.outbox.error(frame.sequence, frame.captured_at, recognition)
            return
        total_ns = self.clock.monotonic_ns() - waiting.arrived_at_ns
        self.share.flow.cost(sum(recognition.spent_ns.values()) / 1e9)
        await self.outbox.result(frame.sequence, frame.captured_at, recognition, queue_ns=queue_ns, total_ns=total_ns)

    async def _outcome(self, opened: _Opened, ticket: Ticket, image: EncodedImage) -> Recognition | FacestreamError:
        try:
            return await opened.session.look(ticket, image)
        except FacestreamError as error:
            return error
        except Exception as error:  # noqa: BLE001 - one frame's fault must not end the stream
            return unexpected("StreamRecognize", error)
