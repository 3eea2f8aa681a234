"""Eight cameras at 5 frames/s and 720p, as a small installation has them: nothing lost, nothing late."""

from __future__ import annotations

import numpy as np

from tests.benchmarks.cameras.load import Camera, fields, play
from tests.benchmarks.cameras.measured_server import measured_server
from tests.benchmarks.cameras.pictures import crowd
from tests.benchmarks.cameras.section import Measured, Size
from tests.benchmarks.report import Bar, Figure

CAMERAS, FPS, WIDTH = 8, 5, 1280
_WARM_UP_S = 3


def live_cameras(images: list[bytes], *, frames: int = 0) -> list[Camera]:
    """The installation."""
    return [
        Camera(f"live-{i}", images, fps=FPS, first=i * len(images) // CAMERAS, phase=i / CAMERAS, frames=frames)
        for i in range(CAMERAS)
    ]


def measure(size: Size) -> Measured:
    """Frames lost, and latency counted from the time at which each frame was due."""
    images = fields(crowd(WIDTH))
    with measured_server() as server:
        play(server.address, live_cameras(images), _WARM_UP_S)
        before = server.read()
        loaded = play(server.address, live_cameras(images), size.live_s)
        after = server.read()
    ages = loaded.ages_ms() or [float("inf")]
    kinds = loaded.kinds()
    lost = loaded.sent() - kinds["result"]
    return Measured(
        [
            Figure("live: frames sent by 8 cameras at 5 frames/s, 720p", loaded.sent(), "frames"),
            Figure("live: lost: dropped, failed or not answered", lost, "frames", Bar.AT_MOST, 0),
            Figure("live: never answered, or twice", loaded.unaccounted(), "frames", Bar.AT_MOST, 0),
            Figure("live: p50 from due to answered", float(np.percentile(ages, 50)), "ms"),
            Figure("live: p99 from due to answered", float(np.percentile(ages, 99)), "ms", Bar.AT_MOST, 250),
            Figure("live: faces decided", 100 * loaded.decided(), "%"),
            Figure("live: the server's use", (after.cpu_s - before.cpu_s) / loaded.seconds, "cores"),
            Figure("live: the cameras' own share", loaded.own_cores(), "cores"),
        ],
        {"live ages": np.percentile(ages, range(101)).tolist()},
    )
