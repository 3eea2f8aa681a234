"""Whether memory stays where it is: while sizes and face counts vary, and over many short streams."""

from __future__ import annotations

import asyncio
import time
from statistics import median

from tests.benchmarks.cameras.load import Camera, fields, play
from tests.benchmarks.cameras.measured_server import MeasuredServer, measured_server, settle
from tests.benchmarks.cameras.pictures import mixture
from tests.benchmarks.cameras.section import Measured, Size
from tests.benchmarks.report import Bar, Figure

_WARM_SHARE = 0.2
"""The first two of ten minutes: pools and caches fill up."""
_CAMERAS, _FPS = 4, 4
_AT_ONCE = 4


def measure(size: Size) -> Measured:
    """Growth of the resident memory of the server's process."""
    with measured_server() as server:
        samples = _vary(server, size.memory_s)
        settle(server)
        growth, connects = _connect(server, size.connects)
    kept = samples[round(_WARM_SHARE * len(samples)) :]
    edge = max(1, len(kept) // 10)
    varied = median(kept[-edge:]) - median(kept[:edge])
    return Measured(
        [
            Figure("memory: resident at the end", samples[-1], "MB"),
            Figure("memory: growth over the last four fifths, sizes and faces vary", varied, "MB", Bar.AT_MOST, 50),
            Figure("memory: highest over the lowest in that time", max(kept) - min(kept), "MB"),
            Figure("memory: streams opened and closed", connects, "streams"),
            Figure("memory: growth over them", growth, "MB", Bar.AT_MOST, 20),
        ],
        {"resident MB": samples},
    )


def _vary(server: MeasuredServer, seconds: float) -> list[float]:
    """Megabytes, once a second, while cameras send pictures of all sizes."""
    images, samples = fields(mixture()), []
    cameras = [Camera(f"varied-{i}", images, fps=_FPS, first=i * 17, phase=i / _CAMERAS) for i in range(_CAMERAS)]
    play(server.address, cameras, seconds, watch=lambda: samples.append(server.resident_mb()))
    return samples


def _connect(server: MeasuredServer, count: int) -> tuple[float, int]:
    """Megabytes that so many short streams cost after the first tenth, and how many there were."""
    image = fields(mixture()[:1])
    asyncio.run(_short_streams(server.address, image, count // 10))
    settle(server)
    before = server.resident_mb()
    asyncio.run(_short_streams(server.address, image, count))
    settle(server)
    return server.resident_mb() - before, count


async def _short_streams(address: str, image: list[bytes], count: int) -> None:
    """Opens a connection, sends one frame, reads its answer, closes; a few at a time."""
    numbers = iter(range(count))

    async def some() -> None:
        for number in numbers:
            played = await Camera(f"short-{number}", image, frames=1).play(address, time.monotonic() + 30)
            if played.unanswered():
                raise RuntimeError(f"short stream {number} got no answer")

    await asyncio.gather(*(some() for _ in range(_AT_ONCE)))
