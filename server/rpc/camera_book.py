"""What became of one camera's frames, read from the messages of its stream as they pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from facestream.v1 import recognition_pb2, server_pb2
from google.protobuf.duration_pb2 import Duration

from server.recent import Recent
from server.rpc import wire

Request = recognition_pb2.StreamRecognizeRequest
Response = recognition_pb2.StreamRecognizeResponse
Drop: TypeAlias = "recognition_pb2.DropReason.ValueType"

STAGES = ("queue", "decode", "detect", "track", "align", "embed", "match", "total", "answer")
"""In the order in which a frame passes them; all but the last are fields of FrameTiming."""


def stage_times(result: recognition_pb2.FrameResult) -> dict[str, int]:
    """Nanoseconds by stage; stages that the frame didn't pass are left out."""
    return {stage.name: spent.ToNanoseconds() for stage, spent in result.timing.ListFields()}


@dataclass(slots=True)
class CameraBook:
    """Counts since the stream was opened, and samples of the last seconds. Belongs to the event loop.

    Attributes:
        opened_at_ns: monotonic nanoseconds.
        track_count: faces in the newest result that are followed.
    """

    opened_at_ns: int
    track_count: int = field(default=0, init=False)
    _camera: str = field(default="", init=False)
    _ready: recognition_pb2.StreamReady = field(default_factory=recognition_pb2.StreamReady, init=False)
    _received: int = field(default=0, init=False)
    _results: int = field(default=0, init=False)
    _errors: int = field(default=0, init=False)
    _drops: Counter[Drop] = field(default_factory=Counter, init=False)
    _shape: tuple[int, int, int] = field(default=(0, 0, 0), init=False)
    _arrivals: Recent[None] = field(init=False)
    _latencies: Recent[int] = field(init=False)
    _dropped: Recent[Drop] = field(init=False)

    def __post_init__(self) -> None:
        self._arrivals, self._latencies = Recent(self.opened_at_ns), Recent(self.opened_at_ns)
        self._dropped = Recent(self.opened_at_ns)

    def came(self, message: Request, *, at_ns: int) -> bool:
        """Books a message of the camera; whether it was a frame."""
        if message.HasField("config"):
            self._camera = message.config.camera
        if not message.HasField("frame"):
            return False
        self._received += 1
        self._arrivals.add(None, at_ns=at_ns)
        return True

    def went(self, message: Response, *, at_ns: int) -> None:
        """Books a message to the camera."""
        match message.WhichOneof("message"):
            case "ready":
                self._ready = message.ready
            case "result":
                self._book_result(message.result, at_ns)
            case "dropped":
                self._drops[message.dropped.reason] += 1
                self._dropped.add(message.dropped.reason, at_ns=at_ns)
            case "error":
                self._errors += 1

    def _book_result(self, result: recognition_pb2.FrameResult, at_ns: int) -> None:
        self._results += 1
        self._latencies.add(result.timing.total.ToNanoseconds(), at_ns=at_ns)
        self._shape = (len(result.faces), result.width, result.height)
        self.track_count = sum(bool(face.track) for face in result.faces)

    def statistics(self, *, at_ns: int) -> server_pb2.CameraStatistics:
        """The books as a message."""
        latencies = self._latencies.samples(at_ns=at_ns)
        seconds = self._latencies.seconds(at_ns=at_ns)
        faces, width, height = self._shape
        return server_pb2.CameraStatistics(
            camera=self._camera,
            session=self._ready.session,
            gallery=self._ready.gallery,
            connected=wire.duration(at_ns - self.opened_at_ns),
            received_count=self._received,
            result_count=self._results,
            error_count=self._errors,
            drops=self._drop_statistics(at_ns),
            received_per_second=len(self._arrivals.samples(at_ns=at_ns)) / seconds,
            results_per_second=len(latencies) / seconds,
            latency_p50=percentile(latencies, 50) if latencies else None,
            latency_p95=percentile(latencies, 95) if latencies else None,
            face_count=faces,
            track_count=self.track_count,
            width=width,
            height=height,
        )

    def _drop_statistics(self, at_ns: int) -> list[server_pb2.DropStatistics]:
        lately = Counter(self._dropped.samples(at_ns=at_ns))
        seconds = self._dropped.seconds(at_ns=at_ns)
        return [
            server_pb2.DropStatistics(reason=reason, frame_count=count, frames_per_second=lately[reason] / seconds)
            for reason, count in sorted(self._drops.items())
        ]


def percentile(spent_ns: list[int], percent: float) -> Duration:
    """So much of a hundred took at most so long; of at least one."""
    return wire.duration(round(float(np.percentile(spent_ns, percent))))


@dataclass(frozen=True, slots=True)
class Tap:
    """Lets the messages of one stream pass, and books them.

    Attributes:
        book: of the camera.
        now_ns: monotonic nanoseconds.
        frame_came: called for each frame.
        timed: called with nanoseconds by stage for each result, once the transport took it.
        tracked: called with how many more faces are followed than before each message.
    """

    book: CameraBook
    now_ns: Callable[[], int]
    frame_came: Callable[[], None]
    timed: Callable[[Mapping[str, int]], None]
    tracked: Callable[[int], None]

    async def requests(self, messages: AsyncIterator[Request]) -> AsyncIterator[Request]:
        """The same messages."""
        async for message in messages:
            if self.book.came(message, at_ns=self.now_ns()):
                self.frame_came()
            yield message

    async def write(self, send: Callable[[Response], Awaitable[None]], message: Response) -> None:
        """Sends a message.

        Raises:
            ConnectionError: the camera is gone; nothing is booked.
        """
        began_ns = self.now_ns()
        await send(message)
        sent_ns = self.now_ns()
        before = self.book.track_count
        self.book.went(message, at_ns=sent_ns)
        self.tracked(self.book.track_count - before)
        if message.HasField("result"):
            self.timed({**stage_times(message.result), "answer": sent_ns - began_ns})
