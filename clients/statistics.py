"""How busy a server is, as frozen values. "Now" is the period: the last seconds before the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from clients.frames import DropReason


@dataclass(frozen=True, slots=True)
class Drops:
    """Frames that the server didn't work on for one reason: since the stream was opened, and a second now."""

    count: int
    per_second: float


@dataclass(frozen=True, slots=True)
class CameraStatistics:
    """One camera whose stream is open.

    Attributes:
        camera: its name.
        session: id, also in the server's log.
        gallery: that its faces are matched against.
        connected_s: since its stream was opened.
        received_count: frames that came since then.
        result_count: frames that were answered with a result.
        error_count: frames that were answered with an error.
        drops: frames that were not worked on; reasons that never occurred are left out.
        received_per_second: now.
        results_per_second: now.
        latency_p50_s: from a frame's arrival to its result, half of them now; None without results.
        latency_p95_s: the same, 95 of 100.
        face_count: in the newest result.
        track_count: faces in it that are followed.
        width: of its frame, pixels; 0 before the first result.
        height: of its frame, pixels; 0 before the first result.
    """

    camera: str
    session: str
    gallery: str
    connected_s: float
    received_count: int
    result_count: int
    error_count: int
    drops: Mapping[DropReason, Drops]
    received_per_second: float
    results_per_second: float
    latency_p50_s: float | None
    latency_p95_s: float | None
    face_count: int
    track_count: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class StageStatistics:
    """How long frames were in one stage now, over all cameras; seconds."""

    stage: str
    frame_count: int
    p50_s: float
    p95_s: float
    p99_s: float


@dataclass(frozen=True, slots=True)
class NetworkStatistics:
    """The work of one network.

    Attributes:
        network: detector, landmarker or embedder.
        batch_count: since the server's start.
        image_count: images or crops in these batches.
        batches_per_second: now.
        images_per_batch: on average now; 0 when none was run.
        largest_batch: of now.
        load: seconds inside the network for each second now; 1 is one lane always busy.
    """

    network: str
    batch_count: int
    image_count: int
    batches_per_second: float
    images_per_batch: float
    largest_batch: int
    load: float


@dataclass(frozen=True, slots=True)
class ServerStatistics:
    """How busy a server is.

    Attributes:
        period_s: how far back "now" reaches.
        cameras: open streams, the longest open first.
        stages: in the order in which a frame passes them.
        networks: by name.
        resident_bytes: physical memory of the server's process; None when it doesn't know.
        cpu_s: processor time since its start, of all cores together.
        uptime_s: since its start.
    """

    period_s: float
    cameras: tuple[CameraStatistics, ...]
    stages: tuple[StageStatistics, ...]
    networks: tuple[NetworkStatistics, ...]
    resident_bytes: int | None
    cpu_s: float
    uptime_s: float


def cores_used(before: ServerStatistics, after: ServerStatistics) -> float | None:
    """Cores that the server kept busy between two answers; None when it was started in between."""
    passed = after.uptime_s - before.uptime_s
    return (after.cpu_s - before.cpu_s) / passed if passed > 0 else None
