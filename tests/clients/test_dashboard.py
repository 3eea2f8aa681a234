"""The screen and the JSON of `facestream-admin top`."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from clients.client import Client
from clients.dashboard import Look, look_json, screen
from clients.fake.server import FakeServer
from clients.statistics import ServerStatistics, cores_used


@pytest.fixture
async def look(fake: FakeServer) -> Look:
    async with Client(fake.target) as client:
        return Look("hub:50051", await client.status(), await client.statistics())


def shown(look: Look, **options: str) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(screen(look, **options))
    return capture.get()


def line_with(text: str, word: str) -> str:
    return next(line for line in text.splitlines() if word in line)


async def test_a_camera_is_one_line_with_rates_latencies_and_drops_by_reason(look: Look) -> None:
    words = line_with(shown(look), "1280x720").split()
    assert words == ["door", "1280x720", "15.0", "12.5", "21.0", "64.0", "3", "2", "5", "40", "superseded", "(2.5/s)"]


async def test_stages_networks_and_the_process_are_shown(look: Look) -> None:
    text = shown(replace(look, cores=1.234))
    assert line_with(text, "detect").split()[:4] == ["detect", "7.0", "9.0", "12.0"]
    assert line_with(text, "embedder").split()[-6:] == ["embedder", "9.0", "1.7", "8", "31", "%"]
    assert "memory 300 MiB" in text
    assert "cores 1.23" in text
    assert "up 1:02:03" in text


async def test_without_cameras_the_screen_says_so(look: Look) -> None:
    assert "no camera is connected" in shown(replace(look, statistics=replace(look.statistics, cameras=())))


async def test_a_screen_that_is_out_of_date_says_why(look: Look) -> None:
    assert "out of date: no answer" in shown(look, trouble="no answer")


async def test_what_a_server_calls_its_cameras_cannot_move_the_cursor(look: Look) -> None:
    (camera,) = look.statistics.cameras
    hostile = replace(camera, camera="\x1b[2Jdoor\x07")
    assert "\x1b[2J" not in shown(replace(look, statistics=replace(look.statistics, cameras=(hostile,))))


async def test_json_has_the_same_figures(look: Look) -> None:
    value = look_json(look)
    (camera,) = value["cameras"]
    assert camera["dropped"] == {"superseded": 40}
    assert (camera["received"], camera["results"], camera["latency_p95_ms"]) == (500, 455, 64.0)
    assert value["stages"] == {"detect": {"frames": 125, "p50_ms": 7.0, "p95_ms": 9.0, "p99_ms": 12.0}}
    assert value["networks"]["embedder"]["images_per_batch"] == 1.7
    assert value["cores"] is None


def used(cpu_s: float, uptime_s: float) -> ServerStatistics:
    return ServerStatistics(10, (), (), (), None, cpu_s, uptime_s)


@pytest.mark.parametrize(
    ("before", "after", "cores"),
    [(used(1, 10), used(4, 12), 1.5), (used(100, 1000), used(1, 2), None), (used(1, 1), used(1, 1), None)],
)
def test_cores_are_processor_time_over_time_unless_the_server_is_another(
    before: ServerStatistics, after: ServerStatistics, cores: float | None
) -> None:
    assert cores_used(before, after) == cores
