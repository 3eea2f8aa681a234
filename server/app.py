"""The composition root: builds everything, starts it in order, stops it in order."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import cast
from wsgiref.simple_server import WSGIServer

import cv2
import grpc
from facestream.v1 import (
    gallery_pb2_grpc,
    recognition_pb2_grpc,
    server_pb2,
    server_pb2_grpc,
    sighting_pb2_grpc,
    unknown_pb2_grpc,
)
from grpc_reflection.v1alpha import reflection
from prometheus_client import start_http_server

from server.errors import ConflictError, InvalidInputError, ModelError
from server.identity.cluster_settings import ClusterSettings
from server.identity.directory import DataDirectory, Membership
from server.identity.gallery import Galleries
from server.identity.match import threshold_for
from server.identity.sightings.book import SightingRule, Sightings
from server.identity.sightings.retention import DAY_NS, RetentionPolicy
from server.identity.track import TrackRule
from server.inference.cores import share_out
from server.inference.engines.profiles import workload_for
from server.inference.gpu.runtime import Gpu
from server.inference.load import Runtime
from server.inference.standby import Fallback, Standing, Status
from server.models.probes import Role
from server.pipeline.decoder import DecoderLimits, decoders
from server.pipeline.enrol import EnrolmentRule, find_weakness
from server.pipeline.enrolment import Enroller
from server.pipeline.flow import Flow, FlowRule
from server.pipeline.followed import NobodyWatches, TrackObserver
from server.pipeline.gpu import GpuChoice
from server.pipeline.load import LoadedVision, ModelChoice, Ran, load_vision
from server.pipeline.naming import RecognitionRule
from server.pipeline.packets import PacketPictures
from server.pipeline.recognise import Recogniser
from server.pipeline.rhythm import DetectionPace
from server.pipeline.session import SessionRule
from server.rpc import wire
from server.rpc.books import ServerBooks
from server.rpc.gallery import MAX_PHOTOS, GalleryServicer
from server.rpc.health import HEALTH_SERVICE, Health
from server.rpc.info import ServerServicer
from server.rpc.interceptors import CallInterceptor
from server.rpc.late import LateServices
from server.rpc.recognition import RecognitionServicer, Streams
from server.rpc.sessions import Sessions
from server.rpc.sighting import SightingServicer
from server.rpc.stream import StreamClock, StreamLimits, StreamShare
from server.rpc.unknown import UnknownServicer
from server.seat import Seat
from server.settings import Settings
from server.telemetry import Metrics
from server.vision.decode import ImageLimits
from server.vision.jpeg import jpeg_of
from server.vision.quality import Legibility

_log = logging.getLogger(__name__)

_SERVICES = (
    "facestream.v1.RecognitionService",
    "facestream.v1.GalleryService",
    "facestream.v1.SightingService",
    "facestream.v1.UnknownService",
    "facestream.v1.ServerService",
)
_SAME_FAR, _OTHER_FAR = 1e-4, 1e-2
"""False accept rates whose distances say that a face in doubt is its track's, and that one without doubt may not be."""
_SWITCH_S = 0.0005
"""A thread that comes back from a network waits at most so long for the interpreter. Python's own 5 ms are as long as
the network itself took, and there are several networks to a frame."""
_OTHER_CALLS = 128
"""Calls that may be open beside the streams; more are refused with RESOURCE_EXHAUSTED instead of piling up."""
_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})


@dataclass(frozen=True, slots=True)
class Parts:
    """What a running server is made of."""

    settings: Settings
    loaded: LoadedVision
    galleries: Galleries
    sightings: Sightings
    frames: ThreadPoolExecutor
    writes: ThreadPoolExecutor
    metrics: Metrics
    streams: Streams


async def serve(settings: Settings, *, seat: Seat | None = None, ready: Callable[[], object] = lambda: None) -> None:
    """Runs a server, or one worker of a server, until SIGTERM or SIGINT.

    The port is open at once and health says NOT_SERVING; once the models are warm and the gallery is loaded, the log
    says `listening` and health SERVING. A worker beside others that serve opens the port only then.

    Args:
        settings: of the server.
        seat: the place among the workers; None for a server of one process.
        ready: called once it serves.

    Raises:
        FacestreamError: it can't start, and why.
    """
    _refuse_open_plaintext(settings)
    sys.setswitchinterval(_SWITCH_S)
    cv2.setNumThreads(1)  # frames run beside each other; threads inside one would only fight
    stopping = _stop_signal()
    metrics = Metrics()
    health, late = Health(_SERVICES), LateServices()
    server = _server(settings, metrics, late, shared_port=seat is not None)
    await health.register(server)
    address = settings.listen if seat is None else seat.listen
    listens_first = seat is None or seat.listens_first
    port = await _listen(server, address) if listens_first else 0
    try:
        watch = GpuWatch(metrics, health)
        async with _parts(settings, metrics, watch, seat) as parts:
            _add_services(late, parts)
            late.open()
            if not watch.failed:
                await health.serving()
            if not listens_first:
                await _listen(server, address)
            if seat is None:
                host = address.rpartition(":")[0]
                _log.info("listening on %s:%d", host, port, extra={"port": port})
            else:
                _log.info("worker ready", extra={"pid": os.getpid()})
            ready()
            await stopping.wait()
            await _drain(server, health, parts)
    finally:
        await server.stop(0)
    _log.info("stopped")


def _refuse_open_plaintext(settings: Settings) -> None:
    host = settings.listen.rpartition(":")[0]
    if host not in _LOOPBACK_HOSTS and not settings.allow_plaintext:
        raise InvalidInputError(
            "PLAINTEXT_REFUSED",
            f"--listen {settings.listen} is no loopback address, and nothing is encrypted or authenticated: put a "
            "proxy that does both in front of a loopback address, or accept the risk with --allow-plaintext",
        )


def _stop_signal() -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping


def _server(settings: Settings, metrics: Metrics, late: LateServices, *, shared_port: bool) -> grpc.aio.Server:
    options = (
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.max_metadata_size", 8 * 2**10),
        ("grpc.max_concurrent_streams", settings.max_streams + 36),
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.so_reuseport", int(shared_port)),
    )
    server = grpc.aio.server(
        interceptors=[CallInterceptor(metrics)],
        options=options,
        maximum_concurrent_rpcs=settings.max_streams + _OTHER_CALLS,
    )
    server.add_generic_rpc_handlers((late,))
    if settings.reflection:
        reflection.enable_server_reflection((*_SERVICES, reflection.SERVICE_NAME, HEALTH_SERVICE), server)
    return server


async def _listen(server: grpc.aio.Server, address: str) -> int:
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise ConflictError(
            "ADDRESS_UNAVAILABLE", f"can't listen on {address}: {error}; choose another with --listen"
        ) from error
    await server.start()
    return port


@asynccontextmanager
async def _parts(settings: Settings, metrics: Metrics, watch: GpuWatch, seat: Seat | None) -> AsyncIterator[Parts]:
    """Everything behind the port, loaded; closed again in the reverse order."""
    loop = asyncio.get_running_loop()
    cores = _cores(settings)
    books = ServerBooks(time.monotonic_ns, metrics)
    # As many threads beside the frames' for writes and searches, which wait for the disk and never for a frame.
    with ExitStack() as undo:
        frames = undo.enter_context(ThreadPoolExecutor(_frame_threads(settings), "frame"))
        writes = undo.enter_context(ThreadPoolExecutor(16, "gallery"))
        loaded = await loop.run_in_executor(
            frames, load_models, settings, cores, books.ran, _gpu_choice(settings, watch)
        )
        undo.callback(loaded.close)
        fingerprint, dimension = loaded.vision.fingerprint, loaded.vision.embedder.dimension
        galleries = await loop.run_in_executor(
            writes,
            lambda: Galleries.open(
                settings.data_dir, fingerprint=fingerprint, dimension=dimension, joined=_joined(settings, seat)
            ),
        )
        undo.callback(galleries.close)
        sightings = Sightings(galleries, _sighting_rule(settings, loaded))
        sightings.keeper.start()
        undo.callback(sightings.keeper.stop)
        if seat is None:  # the supervisor shows those of its workers
            exporter, _ = _start_exporter(settings.metrics_listen, metrics)
            undo.callback(exporter.server_close)
            undo.callback(exporter.shutdown)
            _log.info("metrics on port %d", exporter.server_port, extra={"metrics_port": exporter.server_port})
        streams = Streams(settings.max_streams, books)
        yield Parts(settings, loaded, galleries, sightings, frames, writes, metrics, streams)


def _sighting_rule(settings: Settings, loaded: LoadedVision) -> SightingRule:
    rule = EnrolmentRule()
    return SightingRule(
        clusters=ClusterSettings(loaded.operating_points),
        retention=RetentionPolicy(
            sighting_age_ns=round(settings.sighting_days * DAY_NS),
            stranger_age_ns=round(settings.unknown_days * DAY_NS),
            sighting_count=settings.sighting_max_count,
        ),
        encode=jpeg_of if settings.store_crops else lambda _: b"",
        fit=lambda quality: find_weakness(quality, rule) is None,
        clock=time.time_ns,
    )


def _joined(settings: Settings, seat: Seat | None) -> tuple[DataDirectory, Membership] | None:
    if seat is None:
        return None
    member = Membership.KEEPER if seat.number == 0 else Membership.FOLLOWER
    return DataDirectory.joined(settings.data_dir, seat.lock), member


class GpuWatch:
    """Tells metrics and health what becomes of the GPU. Made in the event loop, told from any thread.

    Attributes:
        failed: whether a model has nothing left that runs it.
    """

    def __init__(self, metrics: Metrics, health: Health) -> None:
        self._metrics = metrics
        self._health = health
        self._loop = asyncio.get_running_loop()
        self.failed = False

    def told(self, role: Role, status: Status) -> None:
        """What runs a model has changed."""
        for standing in Standing:
            self._metrics.backends.labels(role.value, standing.value).set(standing is status.standing)
        _log.info("%s on %s", role.value, status.name, extra={"why": status.why})
        if status.standing is Standing.LOST and not status.serving:
            self.failed = True
            asyncio.run_coroutine_threadsafe(self._health.not_serving(), self._loop)


def _gpu_choice(settings: Settings, watch: GpuWatch) -> GpuChoice:
    workload = workload_for(detect_side=settings.detect_side, max_batch=settings.max_batch)
    return GpuChoice(
        open=lambda: Gpu.open(settings.engines_dir, workload),
        fallback=Fallback(settings.gpu_fallback),
        told=watch.told,
    )


def load_models(settings: Settings, cores: int, ran: Ran, gpu: GpuChoice | None = None) -> LoadedVision:
    """The models that the settings name, on so many cores.

    Raises:
        ModelError: a model is missing or damaged, or the embedder has no thresholds.
    """
    share = share_out(cores, threads=settings.threads, lanes=settings.lanes)
    choice = ModelChoice(
        models_dir=settings.models_dir,
        detector=settings.detector,
        landmarker=settings.landmarker,
        embedder=settings.embedder,
        runtime=Runtime(settings.runtime),
        threads=share.threads,
        lanes=share.lanes,
        max_batch=settings.max_batch,
        detect_side=settings.detect_side,
        max_delay_s=settings.max_queue_delay_ms / 1e3,
        gpu=gpu,
    )
    loaded = load_vision(choice, say=lambda model: _log.info("loaded %s", model), ran=ran)
    if not loaded.operating_points:
        loaded.close()
        raise ModelError(
            "THRESHOLDS_MISSING",
            f"the manifest of {settings.embedder} has no operating points, so that nobody could be named: measure them "
            "with `make bench-accuracy` and write them in, as docs/models.md shows",
        )
    return loaded


def _start_exporter(address: str, metrics: Metrics) -> tuple[WSGIServer, threading.Thread]:
    host, _, port = address.rpartition(":")
    try:
        return start_http_server(int(port), host, metrics.registry)
    except OSError as error:
        raise ConflictError(
            "ADDRESS_UNAVAILABLE",
            f"can't serve metrics on {address}: {error.strerror}; choose another with --metrics-listen",
        ) from error


def _add_services(late: LateServices, parts: Parts) -> None:
    settings, vision = parts.settings, parts.loaded.vision
    limits = ImageLimits(settings.max_image_bytes, settings.max_image_pixels)
    rule = RecognitionRule(
        parts.loaded.operating_points,
        settings.min_margin,
        Legibility(min_size_px=settings.min_face_px),
        parts.loaded.calibration,
    )
    recogniser = Recogniser(vision, parts.galleries, rule, limits, time.perf_counter_ns)
    enroller = Enroller(
        vision=vision,
        galleries=parts.galleries,
        rule=EnrolmentRule(store_crops=settings.store_crops),
        recognition=rule,
        target_far=settings.target_far,
        limits=limits,
        wall_ns=time.time_ns,
    )
    recognition = RecognitionServicer(
        recogniser=recogniser,
        executor=parts.frames,
        streams=parts.streams,
        share=_share(parts, recogniser),
        clock=StreamClock(time.monotonic_ns, time.time_ns),
        metrics=parts.metrics,
    )
    gallery = GalleryServicer(
        galleries=parts.galleries,
        enroller=enroller,
        recogniser=recogniser,
        executor=parts.writes,
        target_far=settings.target_far,
        metrics=parts.metrics,
    )
    for name in parts.galleries.names():
        gallery.count_people(name)
    sighting = SightingServicer(
        sightings=parts.sightings,
        galleries=parts.galleries,
        recogniser=recogniser,
        executor=parts.writes,
        target_far=settings.target_far,
        draining=parts.streams.draining,
    )
    unknown = UnknownServicer(
        sightings=parts.sightings,
        galleries=parts.galleries,
        executor=parts.writes,
        count_people=gallery.count_people,
    )
    started_ns = time.monotonic_ns()
    info = ServerServicer(
        fixed=_info(parts, limits),
        uptime_ns=lambda: time.monotonic_ns() - started_ns,
        open_streams=lambda: parts.streams.open,
        books=parts.streams.books,
        models=lambda: [wire.model_message(model) for model in parts.loaded.models],
    )
    # The generated functions are typed for a server; they call two methods that LateServices has as well.
    server = cast("grpc.aio.Server", late)
    recognition_pb2_grpc.add_RecognitionServiceServicer_to_server(recognition, server)
    gallery_pb2_grpc.add_GalleryServiceServicer_to_server(gallery, server)
    sighting_pb2_grpc.add_SightingServiceServicer_to_server(sighting, server)
    unknown_pb2_grpc.add_UnknownServiceServicer_to_server(unknown, server)
    server_pb2_grpc.add_ServerServiceServicer_to_server(info, server)


def _share(parts: Parts, recogniser: Recogniser) -> StreamShare:
    """What all streams share. One frame more than there are threads is let in, so that no thread waits for the next."""
    settings, threads = parts.settings, _frame_threads(parts.settings)
    sessions = Sessions(recogniser, _session_rule(parts), _observer(parts), parts.frames)
    start_decoder = decoders(
        DecoderLimits(min(settings.max_video_pixels, settings.max_image_pixels), settings.max_packet_s)
    )
    return StreamShare(
        limits=StreamLimits(
            target_far=settings.target_far,
            frames_at_once=settings.frames_at_once,
            max_frame_age_ns=settings.max_frame_age_ms * 10**6,
            idle_timeout_s=settings.idle_timeout_s,
            drain_ns=round(settings.drain_s * 10**9),
        ),
        open_session=sessions.open,
        open_packets=lambda: PacketPictures(start_decoder, max_bytes=settings.max_image_bytes, clock=time.monotonic_ns),
        turns=asyncio.Semaphore(threads + 1),
        flow=Flow(FlowRule(threads=threads, admitted=threads + 1, credits=settings.frames_at_once + 1)),
        draining=parts.streams.draining,
    )


def _observer(parts: Parts) -> TrackObserver:
    """Who is told of tracks. Groups of strangers live in one process: several would each make their own."""
    if not _keeps_sightings(parts.settings):
        _log.warning("strangers are not grouped and sightings not kept: --workers is above 1")
        return NobodyWatches()
    return parts.sightings


def _keeps_sightings(settings: Settings) -> bool:
    return settings.workers == 1


def _session_rule(parts: Parts) -> SessionRule | None:
    settings = parts.settings
    if not settings.track:
        return None
    same, other = (threshold_for(parts.loaded.operating_points, far, 1) for far in (_SAME_FAR, _OTHER_FAR))
    return SessionRule(
        TrackRule(same_person=same, other_person=other, refresh_s=settings.refresh_s),
        DetectionPace(settings.detect_interval, settings.detect_still_ms * 10**6),
    )


def _frame_threads(settings: Settings) -> int:
    return settings.frame_threads or _cores(settings)


def _cores(settings: Settings) -> int:
    """Cores of one of the server's processes."""
    return max(1, (os.cpu_count() or 1) // settings.workers)


def _info(parts: Parts, limits: ImageLimits) -> server_pb2.GetServerInfoResponse:
    settings, vision = parts.settings, parts.loaded.vision
    parts.metrics.build.labels(
        version("facestream"), vision.fingerprint, settings.detector, settings.embedder, settings.runtime
    ).set(1)
    return server_pb2.GetServerInfoResponse(
        version=version("facestream"),
        fingerprint=vision.fingerprint,
        limits=server_pb2.ServerLimits(
            image_bytes=limits.max_bytes,
            image_pixels=limits.max_pixels,
            enrolment_photos=MAX_PHOTOS,
            streams=settings.max_streams,
        ),
        target_far=settings.target_far,
        workers=settings.workers,
        keeps_sightings=_keeps_sightings(settings),
    )


async def _drain(server: grpc.aio.Server, health: Health, parts: Parts) -> None:
    """Says NOT_SERVING, lets streams and calls finish, and ends what is left after the grace period."""
    _log.info("draining", extra={"streams": parts.streams.open, "grace_s": parts.settings.drain_s})
    await health.not_serving()
    parts.streams.draining.set()
    await server.stop(parts.settings.drain_s)
