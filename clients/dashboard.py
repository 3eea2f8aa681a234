"""How busy a server is, as a screen for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from clients.output import Json
from clients.people import Status
from clients.statistics import CameraStatistics, NetworkStatistics, ServerStatistics, StageStatistics
from clients.text import printable

_MIB = 2**20
_LATE_S = 0.25
"""A camera whose p95 is above this is marked: people see the delay."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a server.

    Attributes:
        target: HOST:PORT.
        status: what it is.
        statistics: how busy it is.
        cores: that it kept busy since the look before; None for the first.
    """

    target: str
    status: Status
    statistics: ServerStatistics
    cores: float | None = None


def screen(look: Look, *, trouble: str = "") -> RenderableType:
    """Everything on one screen.

    Args:
        look: what to show.
        trouble: why it is out of date; "" when it isn't.
    """
    statistics = look.statistics
    lines: list[RenderableType] = [Text(line, style="bold" if first else "") for first, line in _head(look)]
    if trouble:
        lines.append(Text(f"out of date: {printable(trouble)}", style="bold red"))
    inside = Columns([_stages(statistics.stages), _networks(statistics.networks)], padding=(0, 3))
    return Group(*lines, Text(), inside, _cameras(statistics.cameras))  # last: a small screen cuts cameras off


def _head(look: Look) -> list[tuple[bool, str]]:
    server, statistics = look.status.server, look.statistics
    memory = "-" if statistics.resident_bytes is None else f"{statistics.resident_bytes / _MIB:.0f} MiB"
    cores = "-" if look.cores is None else f"{look.cores:.2f}"
    results = sum(camera.results_per_second for camera in statistics.cameras)
    received = sum(camera.received_per_second for camera in statistics.cameras)
    tracks = sum(camera.track_count for camera in statistics.cameras)
    health = look.status.health.replace("_", " ")
    hours, rest = divmod(round(statistics.uptime_s), 3600)
    return [
        (
            True,
            f"{printable(look.target)}  version {printable(server.version)}  {health}, up "
            f"{hours}:{rest // 60:02d}:{rest % 60:02d}",
        ),
        (
            False,
            f"cameras {len(statistics.cameras)} of {server.limits.streams}  frames in {received:.1f}/s, "
            f"results {results:.1f}/s  tracks {tracks}",
        ),
        (
            False,
            f"memory {memory}  cores {cores}  people {look.status.gallery.identity_count} in "
            f"{printable(look.status.gallery.gallery)}  (figures of the last {statistics.period_s:.0f} s)",
        ),
    ]


def _table(title: str, columns: Sequence[tuple[str, bool]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for name, is_number in columns:
        table.add_column(name, justify="right" if is_number else "left", no_wrap=True)
    return table


def _cameras(cameras: Sequence[CameraStatistics]) -> RenderableType:
    if not cameras:
        return Text("no camera is connected", style="dim")
    numbers = ("in/s", "results/s", "p50 ms", "p95 ms", "faces", "tracks", "errors")
    names = [("camera", False), ("picture", False), *((name, True) for name in numbers), ("dropped", False)]
    table = _table("cameras", names)
    for camera in cameras:
        late = camera.latency_p95_s is not None and camera.latency_p95_s > _LATE_S
        table.add_row(*(Text(cell) for cell in _camera_row(camera)), style="yellow" if late else "")
    return table


def _camera_row(camera: CameraStatistics) -> tuple[str, ...]:
    return (
        printable(camera.camera),
        f"{camera.width}x{camera.height}" if camera.width else "-",
        f"{camera.received_per_second:.1f}",
        f"{camera.results_per_second:.1f}",
        _milliseconds(camera.latency_p50_s),
        _milliseconds(camera.latency_p95_s),
        str(camera.face_count),
        str(camera.track_count),
        str(camera.error_count),
        ", ".join(f"{drops.count} {reason} ({drops.per_second:.1f}/s)" for reason, drops in camera.drops.items()),
    )


def _stages(stages: Sequence[StageStatistics]) -> Table:
    table = _table("stages", [("stage", False), ("p50 ms", True), ("p95 ms", True), ("p99 ms", True)])
    for stage in stages:
        times = (stage.p50_s, stage.p95_s, stage.p99_s)
        table.add_row(Text(printable(stage.stage)), *(_milliseconds(spent_s) for spent_s in times))
    return table


def _networks(networks: Sequence[NetworkStatistics]) -> Table:
    numbers = ("batches/s", "images a batch", "largest", "load")
    table = _table("networks", [("network", False), *((name, True) for name in numbers)])
    for network in networks:
        table.add_row(
            Text(printable(network.network)),
            f"{network.batches_per_second:.1f}",
            f"{network.images_per_batch:.1f}",
            str(network.largest_batch),
            f"{100 * network.load:.0f} %",
        )
    return table


def _milliseconds(spent_s: float | None) -> str:
    return "-" if spent_s is None else f"{1000 * spent_s:.1f}"


# ---- JSON


def look_json(look: Look) -> Json:
    """One look: times in milliseconds, rates a second over `period_s`."""
    statistics = look.statistics
    return {
        "health": str(look.status.health),
        "uptime_s": round(statistics.uptime_s, 1),
        "period_s": round(statistics.period_s, 1),
        "resident_bytes": statistics.resident_bytes,
        "cpu_s": round(statistics.cpu_s, 3),
        "cores": None if look.cores is None else round(look.cores, 3),
        "people": look.status.gallery.identity_count,
        "cameras": [_camera_json(camera) for camera in statistics.cameras],
        "stages": {stage.stage: _stage_json(stage) for stage in statistics.stages},
        "networks": {network.network: _network_json(network) for network in statistics.networks},
    }


def _camera_json(camera: CameraStatistics) -> Json:
    return {
        "camera": camera.camera,
        "session": camera.session,
        "gallery": camera.gallery,
        "connected_s": round(camera.connected_s, 1),
        "received": camera.received_count,
        "results": camera.result_count,
        "errors": camera.error_count,
        "dropped": {str(reason): drops.count for reason, drops in camera.drops.items()},
        "received_per_second": round(camera.received_per_second, 2),
        "results_per_second": round(camera.results_per_second, 2),
        "dropped_per_second": {str(reason): round(drops.per_second, 2) for reason, drops in camera.drops.items()},
        "latency_p50_ms": _rounded_ms(camera.latency_p50_s),
        "latency_p95_ms": _rounded_ms(camera.latency_p95_s),
        "faces": camera.face_count,
        "tracks": camera.track_count,
        "width": camera.width,
        "height": camera.height,
    }


def _stage_json(stage: StageStatistics) -> Json:
    return {
        "frames": stage.frame_count,
        "p50_ms": _rounded_ms(stage.p50_s),
        "p95_ms": _rounded_ms(stage.p95_s),
        "p99_ms": _rounded_ms(stage.p99_s),
    }


def _network_json(network: NetworkStatistics) -> Json:
    return {
        "batches": network.batch_count,
        "images": network.image_count,
        "batches_per_second": round(network.batches_per_second, 2),
        "images_per_batch": round(network.images_per_batch, 2),
        "largest_batch": network.largest_batch,
        "load": round(network.load, 3),
    }


def _rounded_ms(spent_s: float | None) -> float | None:
    return None if spent_s is None else round(1000 * spent_s, 2)
