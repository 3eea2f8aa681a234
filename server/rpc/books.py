"""How busy the server is: the books of all cameras, stages and networks."""

from __future__ import annotations

import resource
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from facestream.v1 import server_pb2

from server.recent import PERIOD_NS, Recent
from server.rpc import wire
from server.rpc.camera_book import STAGES, CameraBook, Tap, percentile
from server.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Run:
    """One batch: how many images, and nanoseconds in the network."""

    images: int
    spent_ns: int


@dataclass(slots=True)
class _NetworkBook:
    """The batches of one network. Threads of all lanes write into it."""

    runs: Recent[Run]
    batches: int = 0
    images: int = 0


class ServerBooks:
    """Everything that GetServerStatistics answers.

    Streams belong to the event loop; `ran` may be called by any thread.

    Args:
        now_ns: monotonic nanoseconds.
        metrics: counted into.
    """

    def __init__(self, now_ns: Callable[[], int], metrics: Metrics) -> None:
        self._now_ns = now_ns
        self._metrics = metrics
        self._started_ns = now_ns()
        self._cameras: dict[int, CameraBook] = {}
        self._stages: Recent[Mapping[str, int]] = Recent(self._started_ns)
        self._networks: dict[str, _NetworkBook] = {}
        self._lock = threading.Lock()

    @contextmanager
    def camera(self) -> Iterator[Tap]:
        """Books of a stream, for as long as it is open."""
        book = CameraBook(self._now_ns())
        self._cameras[id(book)] = book
        try:
            yield Tap(book, self._now_ns, self._metrics.frames.received.inc, self._timed, self._tracked)
        finally:
            del self._cameras[id(book)]
            self._tracked(-book.track_count)

    def _tracked(self, more: int) -> None:
        if more:
            self._metrics.frames.tracks.inc(more)

    def _timed(self, spent_ns: Mapping[str, int]) -> None:
        self._stages.add(spent_ns, at_ns=self._now_ns())
        self._metrics.frames.stages.labels("answer").observe(spent_ns["answer"] / 1e9)

    def ran(self, network: str, images: int, spent_ns: int) -> None:
        """Books a batch that a network ran."""
        with self._lock:
            book = self._networks.setdefault(network, _NetworkBook(Recent(self._started_ns)))
            book.batches += 1
            book.images += images
        book.runs.add(Run(images, spent_ns), at_ns=self._now_ns())
        self._metrics.networks.batch_images.labels(network).observe(images)
        self._metrics.networks.batch_seconds.labels(network).observe(spent_ns / 1e9)

    def statistics(self) -> server_pb2.GetServerStatisticsResponse:
        """The books as a message."""
        now = self._now_ns()
        used = resource.getrusage(resource.RUSAGE_SELF)
        return server_pb2.GetServerStatisticsResponse(
            period=wire.duration(min(PERIOD_NS, now - self._started_ns)),
            cameras=[book.statistics(at_ns=now) for book in self._cameras.values()],
            stages=list(self._stage_statistics(now)),
            networks=[self._network_statistics(name, book, now) for name, book in sorted(self._networks.items())],
            resident_bytes=resident_bytes(),
            cpu_time=wire.duration(round((used.ru_utime + used.ru_stime) * 1e9)),
            uptime=wire.duration(now - self._started_ns),
        )

    def _stage_statistics(self, now: int) -> Iterator[server_pb2.StageStatistics]:
        samples = self._stages.samples(at_ns=now)
        for stage in STAGES:
            if times := [spent[stage] for spent in samples if stage in spent]:
                p50, p95, p99 = (percentile(times, percent) for percent in (50, 95, 99))
                yield server_pb2.StageStatistics(stage=stage, frame_count=len(times), p50=p50, p95=p95, p99=p99)

    def _network_statistics(self, name: str, book: _NetworkBook, now: int) -> server_pb2.NetworkStatistics:
        runs, seconds = book.runs.samples(at_ns=now), book.runs.seconds(at_ns=now)
        images = [run.images for run in runs]
        return server_pb2.NetworkStatistics(
            network=name,
            batch_count=book.batches,
            image_count=book.images,
            batches_per_second=len(runs) / seconds,
            images_per_batch=sum(images) / len(images) if images else 0,
            largest_batch=max(images, default=0),
            load=sum(run.spent_ns for run in runs) / 1e9 / seconds,
        )


def resident_bytes() -> int | None:
    """Physical memory that this process holds; None where the system doesn't say."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * resource.getpagesize() if statm.exists() else None
