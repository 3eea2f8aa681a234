"""A live camera against a real server on the same cores: `python -m tests.benchmarks.stream`.

Open loop: frames are sent at their times whether or not answers come, and latency counts from the time at which a frame
was due, so that a server that stalls is charged for every frame that it kept waiting. The clip is the stage performance
at 640x360, faces in most frames, played over and over at 15 frames/s. Then a person is enrolled while a stream runs.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import grpc
import numpy as np
from facestream.v1 import recognition_pb2, recognition_pb2_grpc

from clients import Client, JpegEncoding, read_photo
from clients.encode import encode_jpeg
from clients.photos import Photo
from tests.benchmarks.report import Bar, Figure, finish
from tests.real_data import data_folder
from tests.server_process import ServerProcess

FPS = 15
PEOPLE = ("barack_obama", "alex_lacamoire")
NEWCOMER = "lin_manuel_miranda"
HIS_SHOT = slice(82, 211)


@dataclass(slots=True)
class Run:
    """One stream: when each frame was due and what became of it.

    Attributes:
        due_s: time at which each frame was due, by sequence number; seconds of the monotonic clock.
        answered_s: time of each answer, by sequence number.
        outcomes: result, dropped or error, in the order of the answers.
        names: display names in each result, by sequence number.
        faces: faces in all results.
    """

    due_s: dict[int, float] = field(default_factory=dict)
    answered_s: dict[int, float] = field(default_factory=dict)
    outcomes: list[str] = field(default_factory=list)
    names: dict[int, set[str]] = field(default_factory=dict)
    with_faces: int = 0

    def note(self, answer: recognition_pb2.StreamRecognizeResponse) -> None:
        """Books an answer."""
        outcome = answer.WhichOneof("message")
        if outcome in ("ready", "advice"):
            return
        self.outcomes.append(str(outcome))
        self.answered_s[answer.sequence] = time.monotonic()
        faces = answer.result.faces
        self.with_faces += bool(faces)
        self.names[answer.sequence] = {face.match.display_name for face in faces if face.HasField("match")}

    def latencies_ms(self) -> np.ndarray:
        """From due to answered, milliseconds."""
        return 1000 * np.asarray([at - self.due_s[number] for number, at in self.answered_s.items()])


async def play(address: str, frames: Sequence[bytes], *, seconds: float, run: Run) -> None:
    """Streams frames at their times and books the answers."""
    count = round(seconds * FPS)

    async def requests() -> AsyncIterator[recognition_pb2.StreamRecognizeRequest]:
        yield recognition_pb2.StreamRecognizeRequest(config=recognition_pb2.StreamConfig(camera="bench"))
        start = time.monotonic()
        for number in range(1, count + 1):
            due = start + number / FPS
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            run.due_s[number] = due
            frame = recognition_pb2.CameraFrame(sequence=number)
            frame.image.data = frames[number % len(frames)]
            yield recognition_pb2.StreamRecognizeRequest(frame=frame)

    async with grpc.aio.insecure_channel(address) as channel:
        stub = recognition_pb2_grpc.RecognitionServiceStub(channel)
        async for answer in stub.StreamRecognize(requests()):
            run.note(answer)


async def enrol_meanwhile(address: str, stills: Path, frames: Sequence[bytes]) -> tuple[float, float, float]:
    """Enrols the newcomer while his shot plays.

    Returns:
        Seconds from the acknowledgement to the first answer that names him, and the longest silence between two
        answers before and during the enrolment, milliseconds.
    """
    run = Run()
    stream = asyncio.create_task(play(address, frames, seconds=12, run=run))
    await asyncio.sleep(6)
    began = time.monotonic()
    async with Client(address) as client:
        await client.enrol(NEWCOMER, photos_of(stills, NEWCOMER))
    acknowledged = time.monotonic()
    await stream
    named = min(run.answered_s[number] for number, names in run.names.items() if NEWCOMER in names)
    times = np.sort(list(run.answered_s.values()))
    gaps = 1000 * np.diff(times)
    during = (times[1:] >= began) & (times[:-1] <= acknowledged)
    before = times[1:] < began
    return max(0.0, named - acknowledged), float(gaps[before].max()), float(gaps[during].max())


async def measure(address: str, seconds: float) -> list[Figure]:
    """Runs both parts."""
    clips = data_folder() / "clips"
    frames = encoded(clips / "hamilton.mp4")
    async with Client(address) as client:
        for name in PEOPLE:
            await client.enrol(name, photos_of(clips / "stills", name))
    await play(address, frames, seconds=3, run=Run())  # the first seconds of a process aren't its usual ones
    run = Run()
    await play(address, frames, seconds=seconds, run=run)
    latencies = run.latencies_ms()
    visible_s, before_ms, during_ms = await enrol_meanwhile(address, clips / "stills", frames[HIS_SHOT])
    sent, answered = len(run.due_s), len(run.outcomes)
    return [
        Figure("frames sent", sent, "frames"),
        Figure(
            "frames never answered, or twice",
            abs(sent - answered) + sent - len(run.answered_s),
            "frames",
            Bar.AT_MOST,
            0,
        ),
        Figure("frames dropped", run.outcomes.count("dropped"), "frames", Bar.AT_MOST, 0),
        Figure("frames that failed", run.outcomes.count("error"), "frames", Bar.AT_MOST, 0),
        Figure("frames with a face", 100 * run.with_faces / sent, "%"),
        Figure("latency from the due time, median", float(np.median(latencies)), "ms"),
        Figure("latency from the due time, p95", float(np.percentile(latencies, 95)), "ms", Bar.AT_MOST, 150),
        Figure("latency from the due time, p99", float(np.percentile(latencies, 99)), "ms"),
        Figure("enrolled person named after", visible_s, "s", Bar.AT_MOST, 1),
        Figure("longest silence between answers, before the enrolment", before_ms, "ms"),
        Figure("longest silence between answers, during the enrolment", during_ms, "ms"),
    ]


def photos_of(stills: Path, name: str) -> list[Photo]:
    """The photographs of one person."""
    return [read_photo(path) for path in sorted(stills.glob(f"{name}*"))]


def encoded(clip: Path) -> list[bytes]:
    """The frames of a clip as JPEG, ahead of time: a camera's own encoder is not the server's cost."""
    with av.open(str(clip)) as container:
        pictures = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    return [encode_jpeg(picture, JpegEncoding()) for picture in pictures]


def main() -> None:
    """Parses, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as data, ServerProcess(Path(data)) as server:
        figures = asyncio.run(measure(server.address, given.seconds))
    finish("stream", figures)


if __name__ == "__main__":
    main()
