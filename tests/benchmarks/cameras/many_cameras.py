"""What a frame costs the server when one camera sends it, and when sixteen share the same rate."""

from __future__ import annotations

from statistics import mean

from tests.benchmarks.cameras.load import Camera, fields, play
from tests.benchmarks.cameras.measured_server import measured_server, settle
from tests.benchmarks.cameras.pictures import crowd
from tests.benchmarks.cameras.section import Measured, Size
from tests.benchmarks.report import Bar, Figure

COUNTS = (1, 2, 4, 8, 16)
TOTAL_FPS = 8.0
"""Well below what the server can do, so that no frame is dropped: a dropped frame costs little and would flatter."""
_WIDTH = 1280


def measure(size: Size) -> Measured:
    """Processor milliseconds a frame by number of cameras; the numbers take turns."""
    images = fields(crowd(_WIDTH))
    costs: dict[int, list[float]] = {count: [] for count in COUNTS}
    lost = 0
    with measured_server() as server:
        play(server.address, _cameras(images, 4), 3)  # warm
        for _ in range(size.rounds):
            for count in COUNTS:
                settle(server)
                before = server.cpu_s()
                loaded = play(server.address, _cameras(images, count), size.round_s)
                settle(server)
                answered = loaded.kinds()["result"]
                lost += loaded.sent() - answered
                costs[count].append(1000 * (server.cpu_s() - before) / answered)
    means = [mean(costs[count]) for count in COUNTS]
    return Measured(
        [
            *(
                Figure(f"many cameras: {count} at {TOTAL_FPS / count:g} frames/s", cost, "CPU ms/frame")
                for count, cost in zip(COUNTS, means, strict=True)
            ),
            Figure("many cameras: 16 over 1 at the same total rate", means[-1] / means[0], "x", Bar.AT_MOST, 1.15),
            Figure("many cameras: frames lost", lost, "frames"),
        ],
        {"cameras": COUNTS, "CPU ms a frame": means},
    )


def _cameras(images: list[bytes], count: int) -> list[Camera]:
    """Cameras that together send TOTAL_FPS frames a second, evenly."""
    return [
        Camera(f"many-{i}", images, fps=TOTAL_FPS / count, first=i * len(images) // count, phase=i / count)
        for i in range(count)
    ]
