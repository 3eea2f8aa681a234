"""The server's Prometheus metrics; docs/metrics.md explains each.

Where PROMETHEUS_MULTIPROC_DIR is set, as a supervisor does, they go into files that it adds up; a gauge's
`multiprocess_mode` says how.
"""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

_SECONDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_IMAGES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class FrameMetrics:
    """Streams, their frames, and the faces in these."""

    streams: Gauge
    received: Counter
    answered: Counter
    dropped: Counter
    stages: Histogram
    faces: Counter
    embedded: Counter
    tracks: Gauge

    @classmethod
    def registered(cls, registry: CollectorRegistry) -> FrameMetrics:
        """Them in a registry."""
        return cls(
            streams=Gauge(
                "facestream_streams", "Streams that are open.", multiprocess_mode="livesum", registry=registry
            ),
            received=Counter("facestream_frames_received_total", "Frames that came.", registry=registry),
            answered=Counter(
                "facestream_frames_total", "Frames by outcome: result, dropped, error.", ["outcome"], registry=registry
            ),
            dropped=Counter(
                "facestream_frames_dropped_total",
                "Frames that were not worked on, by reason.",
                ["reason"],
                registry=registry,
            ),
            stages=Histogram(
                "facestream_stage_duration_seconds",
                "Time of a frame in each stage: queue, decode, detect, track, align, embed, match, total, answer.",
                ["stage"],
                buckets=_SECONDS,
                registry=registry,
            ),
            faces=Counter(
                "facestream_faces_total", "Faces by answer: match, unknown, undecided.", ["answer"], registry=registry
            ),
            embedded=Counter(
                "facestream_faces_embedded_total",
                "Faces that were embedded, by reason: new, doubtful, retry, better, confirm, refresh; still "
                "where faces are not followed.",
                ["reason"],
                registry=registry,
            ),
            tracks=Gauge(
                "facestream_tracks",
                "Faces that are followed, in the newest result of each camera.",
                multiprocess_mode="livesum",
                registry=registry,
            ),
        )


@dataclass(frozen=True, slots=True)
class NetworkMetrics:
    """What the networks run, and on what."""

    batch_images: Histogram
    batch_seconds: Histogram
    gpu_standings: Gauge

    @classmethod
    def registered(cls, registry: CollectorRegistry) -> NetworkMetrics:
        """Them in a registry."""
        return cls(
            batch_images=Histogram(
                "facestream_batch_images",
                "Images or crops in each batch, by network: detector, landmarker, embedder.",
                ["network"],
                buckets=_IMAGES,
                registry=registry,
            ),
            batch_seconds=Histogram(
                "facestream_batch_duration_seconds",
                "Time of each batch inside the network.",
                ["network"],
                buckets=_SECONDS,
                registry=registry,
            ),
            gpu_standings=Gauge(
                "facestream_gpu_backend",
                "How many processes have each model so with its GPU: preparing, live, refused or lost. Absent without "
                "a GPU runtime.",
                ["kind", "standing"],
                multiprocess_mode="livesum",
                registry=registry,
            ),
        )


@dataclass(frozen=True, slots=True)
class CallMetrics:
    """Calls of every service."""

    finished: Counter
    seconds: Histogram

    @classmethod
    def registered(cls, registry: CollectorRegistry) -> CallMetrics:
        """Them in a registry."""
        return cls(
            finished=Counter(
                "facestream_calls_total",
                "Finished calls by method and status.",
                ["method", "status"],
                registry=registry,
            ),
            seconds=Histogram(
                "facestream_call_duration_seconds",
                "Time of unary calls.",
                ["method"],
                buckets=_SECONDS,
                registry=registry,
            ),
        )


@dataclass(frozen=True, slots=True)
class GalleryMetrics:
    """Enrolments, and whom they made known."""

    photos: Counter
    identities: Gauge

    @classmethod
    def registered(cls, registry: CollectorRegistry) -> GalleryMetrics:
        """Them in a registry."""
        return cls(
            photos=Counter(
                "facestream_enrolment_photos_total",
                "Photographs to enrol, by outcome: accepted or the reason of the refusal.",
                ["outcome"],
                registry=registry,
            ),
            identities=Gauge(
                "facestream_gallery_identities",
                "People enrolled, by gallery.",
                ["gallery"],
                multiprocess_mode="mostrecent",
                registry=registry,
            ),
        )


@dataclass(frozen=True, slots=True)
class Metrics:
    """All metrics of a server, in a registry of their own.

    Attributes:
        registry: what an exporter shows.
        build: always 1; its labels say what runs.
    """

    registry: CollectorRegistry
    frames: FrameMetrics
    networks: NetworkMetrics
    calls: CallMetrics
    galleries: GalleryMetrics
    build: Gauge

    @classmethod
    def registered(cls) -> Metrics:
        """New ones, in a new registry."""
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        return cls(
            registry=registry,
            frames=FrameMetrics.registered(registry),
            networks=NetworkMetrics.registered(registry),
            calls=CallMetrics.registered(registry),
            galleries=GalleryMetrics.registered(registry),
            build=Gauge(
                "facestream_build_info",
                "Always 1; what runs where.",
                ["version", "fingerprint", "detector", "embedder", "backend"],
                multiprocess_mode="livemax",
                registry=registry,
            ),
        )
