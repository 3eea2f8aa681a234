"""Cameras as lean as possible: they share the cores with the server that they measure.

Messages are put together from bytes that are serialised once, and only what is looked at is kept of an answer.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import grpc
from facestream.v1 import face_pb2, image_pb2, recognition_pb2
from google.protobuf.timestamp_pb2 import Timestamp

_METHOD = "/facestream.v1.RecognitionService/StreamRecognize"
_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # a connection for each camera, as cameras have
    ("grpc.max_send_message_length", -1),
)
_FRAME, _SEQUENCE, _CAPTURED_AT, _IMAGE = b"\x12", b"\x08", b"\x12", b"\x1a"
_END_S = 30
_FASTEST_FPS = 50
"""Of a camera that sends when it may: a frame that is dropped is not followed by the next within the same instant."""


def image_field(data: bytes) -> bytes:
    """A JPEG as the `image` field of a CameraFrame."""
    image = image_pb2.Image(data=data, codec=image_pb2.IMAGE_CODEC_JPEG).SerializeToString()
    return _IMAGE + _varint(len(image)) + image


def frame_message(sequence: int, image: bytes, captured_at_ns: int = 0) -> bytes:
    """A StreamRecognizeRequest with one frame; `image` is what `image_field` gives."""
    moment = b""
    if captured_at_ns:
        stamp = Timestamp(seconds=captured_at_ns // 10**9, nanos=captured_at_ns % 10**9).SerializeToString()
        moment = _CAPTURED_AT + _varint(len(stamp)) + stamp
    head = _SEQUENCE + _varint(sequence) + moment
    return b"".join((_FRAME, _varint(len(head) + len(image)), head, image))


def _corners(face: face_pb2.Face) -> tuple[float, float, float, float]:
    box = face.box
    return box.left, box.top, box.left + box.width, box.top + box.height


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


class Answer(NamedTuple):
    """What became of one frame.

    Result, dropped or error; the drop's reason; who was named; how many faces; where; of how many nothing was said.
    """

    kind: str
    at_s: float
    reason: str = ""
    names: tuple[str, ...] = ()
    faces: int = 0
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    undecided: int = 0


@dataclass(slots=True)
class Played:
    """The books of one camera.

    Attributes:
        camera: its name.
        due_s: when each frame was due, by sequence number; monotonic seconds.
        answers: by sequence number, in the order in which they came.
        twice: answers to frames that had one.
    """

    camera: str
    due_s: dict[int, float] = field(default_factory=dict)
    answers: dict[int, Answer] = field(default_factory=dict)
    twice: int = 0

    def kinds(self) -> Counter[str]:
        """How many frames were answered how."""
        return Counter(answer.kind for answer in self.answers.values())

    def unanswered(self) -> int:
        """Frames without an answer."""
        return len(self.due_s.keys() - self.answers.keys())

    def ages_ms(self, *, since_s: float = 0.0) -> list[float]:
        """From due to answered, of the results of frames that were due after a time; milliseconds."""
        return [
            1000 * (answer.at_s - self.due_s[sequence])
            for sequence, answer in self.answers.items()
            if answer.kind == "result" and self.due_s[sequence] >= since_s
        ]

    def results(self, since_s: float, until_s: float) -> int:
        """Results that came between two times."""
        return sum(a.kind == "result" and since_s <= a.at_s < until_s for a in self.answers.values())


@dataclass(slots=True)
class Camera:
    """One stream.

    Attributes:
        name: of the camera.
        images: `image_field` of each picture, played over and over.
        fps: frames a second whether or not answers come; 0 for a camera that sends when it may, at most 50 a second.
        in_flight: with fps 0, frames that wait for their answers at most; the server's advice replaces it; 0 for a
            camera that knows no limit.
        first: the picture that it begins with.
        frames: that it sends at most; 0 for no end.
        phase: when the first frame is due, in periods of the camera.
        max_age_s: asked of the server; 0 for the server's own.
        clip_fps: when not 0, frames carry times that are so far apart, whenever they are sent.
        reads: the answers that it gets.
        obeys: sends as many frames as the server gives it credits, when its own limit is on frames in flight.
        keeps_boxes: of the faces; takes time.
    """

    name: str
    images: Sequence[bytes]
    fps: float = 0.0
    in_flight: int = 3
    first: int = 0
    frames: int = 0
    phase: float = 0.0
    max_age_s: float = 0.0
    clip_fps: float = 0.0
    reads: bool = True
    obeys: bool = True
    keeps_boxes: bool = False
    played: Played = field(init=False)
    _room: asyncio.Condition = field(default_factory=asyncio.Condition, init=False)
    _waiting: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.played = Played(self.name)

    async def play(self, address: str, until_s: float) -> Played:
        """Streams until a time (monotonic seconds), then waits for the answers that are left."""
        async with grpc.aio.insecure_channel(address, options=_OPTIONS) as channel:
            call = channel.stream_stream(
                _METHOD, response_deserializer=recognition_pb2.StreamRecognizeResponse.FromString
            )()
            await call.write(self._config())
            reading = asyncio.create_task(self._read(call) if self.reads else asyncio.sleep(0))
            try:
                if self.reads:
                    await self._write(call, until_s)
                else:
                    await asyncio.wait_for(self._write(call, until_s), max(0.0, until_s - time.monotonic()) + 1)
            except TimeoutError:
                pass  # a camera that doesn't read isn't read from any more, which is right
            if self.reads:
                await call.done_writing()
                await asyncio.wait_for(reading, _END_S)
            call.cancel()
        return self.played

    def _config(self) -> bytes:
        config = recognition_pb2.StreamConfig(camera=self.name)
        if self.max_age_s:
            config.max_frame_age.FromNanoseconds(round(self.max_age_s * 1e9))
        return recognition_pb2.StreamRecognizeRequest(config=config).SerializeToString()

    async def _write(self, call: Any, until_s: float) -> None:
        start_s, start_ns = time.monotonic() + (self.phase / self.fps if self.fps else 0), time.time_ns()
        sequence = 0
        while time.monotonic() < until_s and not (self.frames and sequence >= self.frames):
            due_s = await self._turn(start_s, sequence)
            if due_s >= until_s:
                break
            sequence += 1
            self.played.due_s[sequence] = due_s
            self._waiting += 1
            image = self.images[(self.first + sequence - 1) % len(self.images)]
            at_ns = start_ns + round(sequence / self.clip_fps * 1e9) if self.clip_fps else 0
            await call.write(frame_message(sequence, image, at_ns))

    async def _turn(self, start_s: float, sent: int) -> float:
        """Waits until the next frame may go; when it was due."""
        if self.fps:
            due_s = start_s + sent / self.fps
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            return due_s
        if self.in_flight:
            last_s = self.played.due_s.get(sent, 0.0)
            await asyncio.sleep(max(0.0, last_s + 1 / _FASTEST_FPS - time.monotonic()))
            async with self._room:
                await self._room.wait_for(lambda: self._waiting < self.in_flight)
        return time.monotonic()

    async def _read(self, call: Any) -> None:
        async for message in call:
            kind = message.WhichOneof("message")
            if kind == "advice" and self.in_flight and self.obeys:
                self.in_flight = message.advice.credits
            if message.sequence:
                self._note(message, kind)
            async with self._room:
                self._waiting -= bool(message.sequence)
                self._room.notify_all()

    def _note(self, message: recognition_pb2.StreamRecognizeResponse, kind: str) -> None:
        self.played.twice += message.sequence in self.played.answers
        faces = message.result.faces
        self.played.answers[message.sequence] = Answer(
            kind,
            time.monotonic(),
            recognition_pb2.DropReason.Name(message.dropped.reason) if kind == "dropped" else "",
            tuple(face.match.display_name for face in faces if face.HasField("match")),
            len(faces),
            tuple(map(_corners, faces)) if self.keeps_boxes else (),
            sum(face.HasField("undecided") for face in faces),
        )


@dataclass(frozen=True, slots=True)
class Loaded:
    """What cameras played together.

    Attributes:
        cameras: the books of each.
        began_s: when they began, monotonic seconds.
        ended_s: when they were told to end.
        own_cpu_s: processor time of the cameras themselves.
    """

    cameras: Sequence[Played]
    began_s: float
    ended_s: float
    own_cpu_s: float

    @property
    def seconds(self) -> float:
        """How long they played."""
        return self.ended_s - self.began_s

    def results_per_second(self, *, warm_up_s: float = 0.0) -> float:
        """Frames that were answered with results while they played, without the first seconds."""
        since_s = self.began_s + warm_up_s
        return sum(camera.results(since_s, self.ended_s) for camera in self.cameras) / (self.ended_s - since_s)

    def ages_ms(self, *, warm_up_s: float = 0.0) -> list[float]:
        """Ages of all results, without those of the first seconds."""
        return [age for camera in self.cameras for age in camera.ages_ms(since_s=self.began_s + warm_up_s)]

    def sent(self) -> int:
        """Frames of all cameras."""
        return sum(len(camera.due_s) for camera in self.cameras)

    def kinds(self) -> Counter[str]:
        """How many frames were answered how."""
        return sum((camera.kinds() for camera in self.cameras), Counter())

    def unaccounted(self) -> int:
        """Frames that were never answered, or more than once."""
        return sum(camera.unanswered() + camera.twice for camera in self.cameras)

    def decided(self, *, warm_up_s: float = 0.0) -> float:
        """Share of the faces, without those of the first seconds, that were named or known to be strangers."""
        since_s = self.began_s + warm_up_s
        results = [a for c in self.cameras for a in c.answers.values() if a.kind == "result" and a.at_s >= since_s]
        faces = sum(result.faces for result in results)
        return 1 - sum(result.undecided for result in results) / faces if faces else 1.0

    def own_cores(self) -> float:
        """Cores that the cameras themselves kept busy."""
        return self.own_cpu_s / self.seconds


def play(
    address: str,
    cameras: Sequence[Camera],
    seconds: float,
    *,
    watch: Callable[[], None] | None = None,
    every_s: float = 1.0,
) -> Loaded:
    """Plays cameras together.

    Args:
        address: of the server.
        cameras: fresh ones.
        seconds: how long they send; less when all have sent what they have.
        watch: called every so often meanwhile.
        every_s: how often.
    """
    return asyncio.run(_play(address, cameras, seconds, watch, every_s))


async def _play(
    address: str, cameras: Sequence[Camera], seconds: float, watch: Callable[[], None] | None, every_s: float
) -> Loaded:
    began_cpu_s, began_s = time.process_time(), time.monotonic()
    watching = asyncio.create_task(_watch(watch, every_s)) if watch else None
    books = await asyncio.gather(*(camera.play(address, began_s + seconds) for camera in cameras))
    ended_s = min(began_s + seconds, time.monotonic())
    if watching:
        watching.cancel()
    return Loaded(books, began_s, ended_s, time.process_time() - began_cpu_s)


async def _watch(look: Callable[[], None], every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        look()


def fields(pictures: Sequence[bytes]) -> list[bytes]:
    """`image_field` of each picture."""
    return [image_field(picture) for picture in pictures]
