"""Three times more frames than the server can take, from eight cameras that don't listen; and bad neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

import numpy as np

from tests.benchmarks.cameras.load import Camera, Loaded, fields, play
from tests.benchmarks.cameras.measured_server import measured_server, settle
from tests.benchmarks.cameras.pictures import crowd
from tests.benchmarks.cameras.section import Measured, Size
from tests.benchmarks.report import Bar, Figure

CAMERAS = 8
BUDGET_S = 0.5
"""The age up to which a frame is worth working on, as the cameras ask for it."""
TIMES = 3
_WARM_UP_S = 3
"""Of every load, and not counted: everybody is new to a stream that has just been opened."""
_WIDTH = 1280


def measure(size: Size) -> Measured:
    """The peak, three times the peak, and good neighbours beside bad ones."""
    images = fields(crowd(_WIDTH))
    peaks: list[Loaded] = []
    loads: list[Loaded] = []
    with measured_server() as server:
        play(server.address, _cameras(images), 3)  # warm
        for _ in range(size.rounds):
            settle(server)
            peaks.append(play(server.address, _cameras(images), _WARM_UP_S + size.round_s))
            settle(server)
            fps = TIMES * mean(map(_rate, peaks)) / CAMERAS
            loads.append(play(server.address, _cameras(images, fps=fps), _WARM_UP_S + size.round_s))
        settle(server)
        fps = 0.4 * mean(map(_rate, peaks)) / 4
        seconds = _WARM_UP_S + size.round_s * size.rounds
        alone = play(server.address, _good(images, fps), seconds)
        settle(server)
        bad = [
            Camera("greedy", images, in_flight=0, max_age_s=BUDGET_S),
            Camera("slow", images, fps=30, reads=False, max_age_s=BUDGET_S),
        ]
        beside = play(server.address, [*_good(images, fps), *bad], seconds)
    figures = [*_overload(peaks, loads), *_neighbours(alone, beside)]
    ages = [age for loaded in loads for age in loaded.ages_ms(warm_up_s=_WARM_UP_S)]
    return Measured(
        figures, {"peak": list(map(_rate, peaks)), "overload ages": np.percentile(ages, range(101)).tolist()}
    )


def _cameras(images: Sequence[bytes], *, fps: float = 0.0) -> list[Camera]:
    return [
        Camera(f"over-{i}", images, fps=fps, first=i * len(images) // CAMERAS, phase=i / CAMERAS, max_age_s=BUDGET_S)
        for i in range(CAMERAS)
    ]


def _good(images: Sequence[bytes], fps: float) -> list[Camera]:
    return [Camera(f"good-{i}", images, fps=fps, first=i * 7, phase=i / 4, max_age_s=BUDGET_S) for i in range(4)]


def _overload(peaks: Sequence[Loaded], loads: Sequence[Loaded]) -> list[Figure]:
    ages = [age for loaded in loads for age in loaded.ages_ms(warm_up_s=_WARM_UP_S)]
    shares = [sum(loaded.cameras[i].kinds()["result"] for loaded in loads) for i in range(CAMERAS)]
    peak, answered = mean(map(_rate, peaks)), mean(map(_rate, loads))
    return [
        Figure("overload: peak, 8 cameras, 720p", peak, "frames/s"),
        Figure("overload: sent", sum(loaded.sent() / loaded.seconds for loaded in loads) / len(loads), "frames/s"),
        Figure("overload: answered with results over the peak", answered / peak, "", Bar.AT_LEAST, 0.9),
        Figure("overload: p50 age of results", float(np.percentile(ages, 50)), "ms"),
        Figure(
            "overload: p99 age of results, twice the budget of 500 ms at most",
            float(np.percentile(ages, 99)), "ms", Bar.AT_MOST, 2000 * BUDGET_S,
        ),
        Figure("overload: frames never answered, or twice", sum(map(Loaded.unaccounted, loads)), "", Bar.AT_MOST, 0),
        Figure("overload: frames dropped", sum(loaded.kinds()["dropped"] for loaded in loads), "frames"),
        Figure("overload: Jain's fairness over 8 cameras", jain(shares), "", Bar.AT_LEAST, 0.95),
        Figure("overload: faces decided at the peak", 100 * mean(map(_decided, peaks)), "%"),
        Figure("overload: faces decided in overload", 100 * mean(map(_decided, loads)), "%"),
        Figure("overload: the cameras' own share", mean(map(Loaded.own_cores, loads)), "cores"),
    ]  # fmt: skip


def _neighbours(alone: Loaded, beside: Loaded) -> list[Figure]:
    good = Loaded(beside.cameras[:4], beside.began_s, beside.ended_s, 0)
    greedy, slow = beside.cameras[4:]
    answered = good.kinds()["result"] / good.sent()
    p99_alone, p99 = (float(np.percentile(each.ages_ms(warm_up_s=_WARM_UP_S), 99)) for each in (alone, good))
    return [
        Figure("neighbours: good cameras' p99 alone", p99_alone, "ms"),
        Figure(
            "neighbours: good cameras' p99 beside a greedy and a slow one",
            p99, "ms", Bar.AT_MOST, 1000 * BUDGET_S,
        ),
        Figure("neighbours: good frames with results beside them", 100 * answered, "%", Bar.AT_LEAST, 99),
        Figure("neighbours: good cameras' faces decided alone", 100 * _decided(alone), "%"),
        Figure("neighbours: good cameras' faces decided beside them", 100 * _decided(good), "%"),
        Figure("neighbours: good frames never answered, or twice", good.unaccounted(), "", Bar.AT_MOST, 0),
        Figure("neighbours: greedy camera's frames", len(greedy.due_s), "frames"),
        Figure("neighbours: slow camera's frames before it was read no more", len(slow.due_s), "frames"),
    ]  # fmt: skip


def _rate(loaded: Loaded) -> float:
    return loaded.results_per_second(warm_up_s=_WARM_UP_S)


def _decided(loaded: Loaded) -> float:
    return loaded.decided(warm_up_s=_WARM_UP_S)


def jain(shares: Sequence[float]) -> float:
    """Jain, Chiu and Hawe's fairness index (1984): 1 when all get the same, 1/n when one gets everything."""
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares)) if any(shares) else 0.0
