"""Logs and metrics. No names, embeddings, images or tokens appear in either."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Id of the call that the current task serves; set by the interceptor, logged with every line."""

_STANDARD = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"message", "asctime", "taskName"}

_SECONDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_IMAGES = (1, 2, 4, 8, 16, 32, 64)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    extra = {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
    call = request_id.get()
    return {"request_id": call, **extra} if call else extra


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC, ISO 8601), level, logger, event and the extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """One line for people: time, level, event, key=value."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, and its traceback when it has one."""
        when = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        fields = " ".join(f"{key}={value}" for key, value in _fields(record).items())
        line = f"{when} {record.levelname:7} {record.getMessage()} {fields}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _Signed(logging.Filter):
    """Adds a worker's number to its lines."""

    def __init__(self, worker: int) -> None:
        super().__init__()
        self._worker = worker

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets everything through."""
        record.worker = self._worker
        return True


def set_up_logging(*, style: str, level: str, worker: int | None = None) -> None:
    """Sends the log to standard error; `style` is json or text, `worker` a number that every line carries."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    if worker is not None:
        handler.addFilter(_Signed(worker))
    logging.basicConfig(handlers=[handler], level=level, force=True)


class Metrics:
    """The server's Prometheus metrics, in a registry of their own. docs/metrics.md explains each.

    Where PROMETHEUS_MULTIPROC_DIR is set, as a supervisor does, they go into files that it adds up; a gauge's
    `multiprocess_mode` says how.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.received = Counter("facestream_frames_received_total", "Frames that came.", registry=self.registry)
        self.frames = Counter(
            "facestream_frames_total",
            "Frames by outcome: result, dropped, error.",
            ["outcome"],
            registry=self.registry,
        )
        self.drops = Counter(
            "facestream_frames_dropped_total",
            "Frames that were not worked on, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.stages = Histogram(
            "facestream_stage_duration_seconds",
            "Time of a frame in each stage: queue, decode, detect, track, align, embed, match, total, answer.",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.faces = Counter(
            "facestream_faces_total",
            "Faces by answer: match, unknown, undecided.",
            ["answer"],
            registry=self.registry,
        )
        self.looks = Counter(
            "facestream_faces_embedded_total",
            "Faces that were embedded, by reason: new, doubtful, retry, better, confirm, refresh; still for images.",
            ["reason"],
            registry=self.registry,
        )
        self.streams = Gauge(
            "facestream_streams", "Streams that are open.", multiprocess_mode="livesum", registry=self.registry
        )
        self.tracks = Gauge(
            "facestream_tracks",
            "Faces that are followed, in the newest result of each camera.",
            multiprocess_mode="livesum",
            registry=self.registry,
        )
        self.batch_images = Histogram(
            "facestream_batch_images",
            "Images or crops in each batch, by network: detector, landmarker, embedder.",
            ["network"],
            buckets=_IMAGES,
            registry=self.registry,
        )
        self.batch_seconds = Histogram(
            "facestream_batch_duration_seconds",
            "Time of each batch inside the network.",
            ["network"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.calls = Counter(
            "facestream_calls_total",
            "Finished calls by method and status.",
            ["method", "status"],
            registry=self.registry,
        )
        self.call_seconds = Histogram(
            "facestream_call_duration_seconds",
            "Time of unary calls.",
            ["method"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.photos = Counter(
            "facestream_enrolment_photos_total",
            "Photographs to enrol, by outcome: accepted or the reason of the refusal.",
            ["outcome"],
            registry=self.registry,
        )
        self.identities = Gauge(
            "facestream_gallery_identities",
            "People enrolled, by gallery.",
            ["gallery"],
            multiprocess_mode="mostrecent",
            registry=self.registry,
        )
        self.backends = Gauge(
            "facestream_gpu_backend",
            "1 for how each model stands with its GPU: preparing, live, refused or lost. Absent without a GPU runtime.",
            ["kind", "standing"],
            registry=self.registry,
        )
        self.build = Gauge(
            "facestream_build_info",
            "Always 1; what runs where.",
            ["version", "fingerprint", "detector", "embedder", "backend"],
            multiprocess_mode="livemax",
            registry=self.registry,
        )
