"""What a frame costs the server when one camera sends at a time, and when sixteen share the same rate.

The bar is on the server's own cost of having many cameras. So the same sixteen streams are played every time, with the
same frames and the same time steps from frame to frame: one after the other, four at a time, all at once. What is in a
picture, how far faces move and how old tracks are is then the same however many cameras share the rate. Beside it
stands what happens when the times are the real ones: at half a frame a second faces have moved on, tracks break, and
more is embedded. That is a matter of the frame rate and not of the number of cameras. A stream's first frames are not
counted, because everybody is new to a camera that has just been opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean

from tests.benchmarks.cameras.load import Camera, fields, play
from tests.benchmarks.cameras.measured_server import MeasuredServer, measured_server, settle
from tests.benchmarks.cameras.pictures import crowd
from tests.benchmarks.cameras.section import Measured, Size
from tests.benchmarks.report import Bar, Figure

STREAMS = 16
AT_ONCE = (1, 4, 16)
TOTAL_FPS = 8.0
"""Well below what the server can do, so that no frame is dropped: a dropped frame costs little and would flatter."""
_ROUNDS = 2
_WARM_FRAMES = 10
_LOOK_S = 0.005
_END_S = 3600
"""Cameras have sent all their frames long before."""
_WIDTH = 1280


@dataclass(slots=True)
class Cost:
    """What frames cost, over some rounds.

    Attributes:
        cpu_ms: of the server for a frame, by round; lost ones count as frames.
        embeddings: for a result, by round, with those of the first frames.
        lost: frames without a result.
    """

    cpu_ms: list[float] = field(default_factory=list)
    embeddings: list[float] = field(default_factory=list)
    lost: int = 0


@dataclass(slots=True)
class _Watch:
    """The server's processor time while some cameras get their answers after the first ones.

    Attributes:
        server: that is watched, without being asked anything.
        cameras: that play.
        began_s: processor seconds when all cameras had the answers that don't count.
        ended_s: processor seconds when they had all answers.
    """

    server: MeasuredServer
    cameras: Sequence[Camera]
    began_s: float | None = None
    ended_s: float | None = None

    def look(self) -> None:
        """Reads, once a moment has come."""
        fewest = min(len(camera.played.answers) for camera in self.cameras)
        if self.began_s is None and fewest >= _WARM_FRAMES:
            self.began_s = self.server.cpu_s()
        if self.ended_s is None and fewest >= self.cameras[0].frames:
            self.ended_s = self.server.cpu_s()

    def spent_s(self) -> float:
        """Between the moments, seconds."""
        self.look()  # the last answers came after the last look
        assert self.began_s is not None
        assert self.ended_s is not None
        return self.ended_s - self.began_s


def measure(size: Size) -> Measured:
    """Processor milliseconds a frame by number of cameras at once; the numbers take turns."""
    images = fields(crowd(_WIDTH))
    frames = _WARM_FRAMES + round(2 * size.round_s)
    alike = {count: Cost() for count in AT_ONCE}
    real = {count: Cost() for count in (AT_ONCE[0], AT_ONCE[-1])}
    with measured_server() as server:
        for number in range(min(_ROUNDS, size.rounds)):
            for count, cost in list(alike.items())[:: -1 if number % 2 else 1]:
                _add(cost, server, _cameras(images, count, frames, clip_fps=TOTAL_FPS), count)
        for count, cost in real.items():
            _add(cost, server, _cameras(images, count, frames), count)
    means = [mean(cost.cpu_ms) for cost in alike.values()]
    return Measured(
        [
            *(_figure("time steps alike", count, cost) for count, cost in alike.items()),
            Figure("many cameras: 16 over 1 at the same total rate", means[-1] / means[0], "x", Bar.AT_MOST, 1.15),
            *(_figure("real times", count, cost) for count, cost in real.items()),
            Figure(
                "many cameras: embeddings for a frame, 1 and 16 cameras, time steps alike: difference",
                mean(alike[16].embeddings) - mean(alike[1].embeddings), "crops",
            ),
            Figure(
                "many cameras: embeddings for a frame, 1 and 16 cameras, real times: difference",
                mean(real[16].embeddings) - mean(real[1].embeddings), "crops",
            ),
            Figure("many cameras: frames lost", sum(c.lost for c in (*alike.values(), *real.values())), "frames"),
        ],
        {"cameras": AT_ONCE, "CPU ms a frame": means},
    )  # fmt: skip


def _figure(how: str, count: int, cost: Cost) -> Figure:
    return Figure(f"many cameras: {count} at once, {how}", mean(cost.cpu_ms), "CPU ms/frame")


def _add(cost: Cost, server: MeasuredServer, cameras: list[Camera], count: int) -> None:
    """Plays all cameras, so many at once, and adds what their frames cost once they were warm."""
    settle(server)
    embeddings = server.read().embeddings
    cpu_s, sent, results = 0.0, 0, 0
    for first in range(0, STREAMS, count):
        group = cameras[first : first + count]
        watch = _Watch(server, group)
        loaded = play(server.address, group, _END_S, watch=watch.look, every_s=_LOOK_S)
        cpu_s += watch.spent_s()
        sent += loaded.sent()
        results += loaded.kinds()["result"]
    cost.cpu_ms.append(1000 * cpu_s / (len(cameras) * (cameras[0].frames - _WARM_FRAMES)))
    cost.embeddings.append((server.read().embeddings - embeddings) / results)
    cost.lost += sent - results


def _cameras(images: list[bytes], count: int, frames: int, *, clip_fps: float = 0.0) -> list[Camera]:
    """All cameras, of which so many together send TOTAL_FPS frames a second, evenly."""
    return [
        Camera(
            f"many-{i}",
            images,
            fps=TOTAL_FPS / count,
            first=i * len(images) // STREAMS,
            phase=i % count / count,
            frames=frames,
            clip_fps=clip_fps,
        )
        for i in range(STREAMS)
    ]
