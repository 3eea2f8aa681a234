"""What a frame costs the server when one camera sends it, and when sixteen share the same rate.

The bar is on the server's own cost of having many cameras: every camera's frames carry the same time steps, so that
faces move as far from one frame to the next however many cameras share the rate. Beside it stands what happens when the
times are the real ones: at half a frame a second faces have moved on, tracks break, and more is embedded. That is a
matter of the frame rate and not of the number of cameras. Cameras have played for a while before anything is counted,
because everybody is new to a camera that has just been opened.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from statistics import mean

from tests.benchmarks.cameras.load import Camera, fields, play
from tests.benchmarks.cameras.measured_server import MeasuredServer, Sampler, measured_server, settle
from tests.benchmarks.cameras.pictures import crowd
from tests.benchmarks.cameras.section import Measured, Size
from tests.benchmarks.report import Bar, Figure

COUNTS = (1, 2, 4, 8, 16)
TOTAL_FPS = 8.0
"""Well below what the server can do, so that no frame is dropped: a dropped frame costs little and would flatter."""
_WARM_FRAMES = 10
_ROUNDS = 3
_WIDTH = 1280


@dataclass(slots=True)
class Cost:
    """What frames cost, over some rounds.

    Attributes:
        cpu_ms: of the server for a result.
        embeddings: for a result.
        lost: frames without a result.
    """

    cpu_ms: list[float] = field(default_factory=list)
    embeddings: list[float] = field(default_factory=list)
    lost: int = 0


def measure(size: Size) -> Measured:
    """Processor milliseconds a frame by number of cameras; the numbers take turns."""
    images = fields(crowd(_WIDTH))
    alike = {count: Cost() for count in COUNTS}
    real = {count: Cost() for count in (COUNTS[0], COUNTS[-1])}
    with measured_server() as server:
        for _ in range(min(_ROUNDS, size.rounds)):
            for count in COUNTS:
                _add(alike[count], server, _cameras(images, count, clip_fps=TOTAL_FPS), count, size.round_s)
            for count, cost in real.items():
                _add(cost, server, _cameras(images, count), count, size.round_s)
    means = [mean(alike[count].cpu_ms) for count in COUNTS]
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
        {"cameras": COUNTS, "CPU ms a frame": means},
    )  # fmt: skip


def _figure(how: str, count: int, cost: Cost) -> Figure:
    return Figure(f"many cameras: {count}, {how}", mean(cost.cpu_ms), "CPU ms/frame")


def _add(cost: Cost, server: MeasuredServer, cameras: list[Camera], count: int, seconds: float) -> None:
    """Plays cameras and adds what their frames cost once they were warm."""
    settle(server)
    warm_s = _WARM_FRAMES * count / TOTAL_FPS
    sampler = Sampler(server, time.monotonic() + warm_s)
    loaded = play(server.address, cameras, warm_s + seconds, watch=sampler.look)
    (since_s, before), (until_s, after) = sampler.readings
    results = sum(camera.results(since_s, until_s) for camera in loaded.cameras)
    cost.cpu_ms.append(1000 * (after.cpu_s - before.cpu_s) / results)
    cost.embeddings.append((after.embeddings - before.embeddings) / results)
    cost.lost += loaded.sent() - loaded.kinds()["result"]


def _cameras(images: list[bytes], count: int, *, clip_fps: float = 0.0) -> list[Camera]:
    """Cameras that together send TOTAL_FPS frames a second, evenly."""
    fps = TOTAL_FPS / count
    return [
        Camera(f"many-{i}", images, fps=fps, first=i * len(images) // count, phase=i / count, clip_fps=clip_fps)
        for i in range(count)
    ]
