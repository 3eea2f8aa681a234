"""A real server with the cast enrolled, and what its process costs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from clients import Client
from tests.benchmarks.cameras.pictures import CAST, STILLS
from tests.benchmarks.stream import photos_of
from tests.server_process import PROJECT, ServerProcess

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
"""Prometheus' samples by name and sorted labels."""

STAGES = ("queue", "decode", "detect", "track", "align", "embed", "match", "total", "answer")
NETWORKS = ("detector", "landmarker", "embedder")


@dataclass(frozen=True, slots=True)
class Profile:
    """Where the time of a frame went, between two readings.

    Attributes:
        stages: mean milliseconds of a frame by stage; frames wait in them for each other.
        networks: milliseconds inside each network for a frame.
    """

    stages: dict[str, float]
    networks: dict[str, float]


def profile(before: Samples, after: Samples) -> Profile:
    """What the server's own metrics say of the frames between two readings."""

    def spent(metric: str, label: tuple[str, str], part: str) -> float:
        key = (f"{metric}_{part}", (label,))
        return after.get(key, 0.0) - before.get(key, 0.0)

    stage, batch = "facestream_stage_duration_seconds", "facestream_batch_duration_seconds"
    frames = spent(stage, ("stage", "total"), "count") or 1
    return Profile(
        {
            name: 1000 * spent(stage, ("stage", name), "sum") / count
            for name in STAGES
            if (count := spent(stage, ("stage", name), "count"))
        },
        {name: 1000 * spent(batch, ("network", name), "sum") / frames for name in NETWORKS},
    )


@dataclass(frozen=True, slots=True)
class Reading:
    """The server at one moment.

    Attributes:
        cpu_s: processor time of all its processes so far.
        embeddings: crops that its embedder has run so far.
        batches: in which it has run them.
    """

    cpu_s: float
    embeddings: float
    batches: float


@dataclass(frozen=True, slots=True)
class MeasuredServer:
    """A running server."""

    process: ServerProcess

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return self.process.address

    def read(self) -> Reading:
        """Its counters now."""
        samples = self.samples()
        labels = (("network", "embedder"),)
        return Reading(
            self.cpu_s(),
            samples.get(("facestream_batch_images_sum", labels), 0.0),
            samples.get(("facestream_batch_images_count", labels), 0.0),
        )

    def samples(self) -> Samples:
        """Every Prometheus sample by name and labels."""
        with urlopen(f"http://127.0.0.1:{self.process.metrics_port}/metrics", timeout=10) as page:
            text = page.read().decode()
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def cpu_s(self) -> float:
        """Processor time of the server and its children so far."""
        return sum(_cpu_s(pid) for pid in self._pids())

    def resident_mb(self) -> float:
        """Physical memory of the server and its children, 10^6 bytes."""
        return sum(_resident_bytes(pid) for pid in self._pids()) / 1e6

    def _pids(self) -> list[int]:
        assert self.process.process is not None
        pid = self.process.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]


@dataclass(slots=True)
class Sampler:
    """The server's counters at the first look after a warm-up, and at the last.

    Attributes:
        server: that is looked at.
        from_s: when the warm-up is over, monotonic seconds.
        readings: at most two, each with its time.
    """

    server: MeasuredServer
    from_s: float
    readings: list[tuple[float, Reading]] = field(default_factory=list)

    def look(self) -> None:
        """Reads, once the warm-up is over."""
        if time.monotonic() >= self.from_s:
            self.readings[1:] = [(time.monotonic(), self.server.read())]


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


@contextmanager
def measured_server(*flags: str) -> Iterator[MeasuredServer]:
    """A server of its own, with the cast enrolled in its default gallery."""
    with tempfile.TemporaryDirectory() as data, ServerProcess(Path(data), "--log-level", "INFO", *flags) as process:
        asyncio.run(_enrol(process.address))
        yield MeasuredServer(process)


async def _enrol(address: str) -> None:
    async with Client(address, timeout_s=60) as client:
        for name, files in CAST.items():
            await client.enrol(name, photos_of(STILLS, files))


def knows_flag(flag: str) -> bool:
    """Whether this version of the server has a flag."""
    paths = os.pathsep.join([str(PROJECT), str(PROJECT / "proto")])
    shown = subprocess.run(
        [sys.executable, "-m", "server", "--help"],
        capture_output=True, text=True, check=True, cwd=PROJECT, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    return flag in shown.stdout


def settle(server: MeasuredServer, *, seconds: float = 0.5) -> None:
    """Waits until the server has nothing to do, so that the next thing that is measured has the machine to itself."""
    while True:
        before = server.cpu_s()
        time.sleep(seconds)
        if server.cpu_s() - before < 0.05 * seconds:
            return
