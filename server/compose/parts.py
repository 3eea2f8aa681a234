"""Everything behind the port: opened in order, closed in the reverse order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

from server.compose.cores import cores_of, frame_threads
from server.compose.models import gpu_choice, load_models
from server.compose.sightings import sighting_rule
from server.identity.directory import DataDirectory, Membership
from server.identity.gallery import Galleries
from server.identity.sightings.book import Sightings
from server.pipeline.load import LoadedVision
from server.pipeline.naming import RecognitionRule
from server.pipeline.recognise import Recogniser
from server.rpc.books import ServerBooks
from server.rpc.gpu_watch import GpuWatch
from server.rpc.recognition import Streams
from server.seat import Seat
from server.settings import Settings
from server.telemetry.exporter import exported
from server.telemetry.metrics import Metrics
from server.vision.decode import ImageLimits
from server.vision.quality import Legibility

_WRITES = 16
"""Threads beside the frames' for writes and searches, which wait for the disk and never for a frame."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a running server is made of.

    Attributes:
        settings: what was asked for.
        loaded: the models.
        recogniser: names the people in images.
        galleries: who is enrolled.
        sightings: who was seen, and the groups of strangers.
        frames: runs the work on frames.
        writes: runs what waits for the disk.
        metrics: counted into.
        streams: the open streams.
    """

    settings: Settings
    loaded: LoadedVision
    recogniser: Recogniser
    galleries: Galleries
    sightings: Sightings
    frames: Executor
    writes: Executor
    metrics: Metrics
    streams: Streams


@asynccontextmanager
async def opened(settings: Settings, metrics: Metrics, watch: GpuWatch, seat: Seat | None) -> AsyncIterator[Parts]:
    """The parts of a server, loaded and started, for as long as the context lasts.

    Raises:
        FacestreamError: one can't be had, and why.
    """
    loop = asyncio.get_running_loop()
    books = ServerBooks(time.monotonic_ns, metrics)
    with ExitStack() as undo:
        frames = undo.enter_context(ThreadPoolExecutor(frame_threads(settings), "frame"))
        writes = undo.enter_context(ThreadPoolExecutor(_WRITES, "gallery"))
        loaded = await loop.run_in_executor(
            frames, load_models, settings, cores_of(settings), books.ran, gpu_choice(settings, watch)
        )
        undo.callback(loaded.close)
        galleries = await loop.run_in_executor(writes, _open_galleries, settings, loaded, seat)
        undo.callback(galleries.close)
        sightings = Sightings(galleries, sighting_rule(settings, loaded))
        sightings.keeper.start()
        undo.callback(sightings.keeper.stop)
        undo.callback(sightings.wait_until_written)
        undo.callback(frames.shutdown)  # streams that ended have their tracks ended there, which are reported then
        if seat is None:  # the supervisor shows those of its workers
            undo.enter_context(exported(settings.metrics_listen, metrics.registry))
        yield Parts(
            settings=settings,
            loaded=loaded,
            recogniser=_recogniser(settings, loaded, galleries),
            galleries=galleries,
            sightings=sightings,
            frames=frames,
            writes=writes,
            metrics=metrics,
            streams=Streams(settings.max_streams, books),
        )


def _open_galleries(settings: Settings, loaded: LoadedVision, seat: Seat | None) -> Galleries:
    vision = loaded.vision
    return Galleries.open(
        settings.data_dir,
        fingerprint=vision.fingerprint,
        dimension=vision.embedder.dimension,
        joined=_joined(settings, seat),
    )


def _joined(settings: Settings, seat: Seat | None) -> tuple[DataDirectory, Membership] | None:
    if seat is None:
        return None
    member = Membership.KEEPER if seat.number == 0 else Membership.FOLLOWER
    return DataDirectory.joined(settings.data_dir, seat.lock), member


def _recogniser(settings: Settings, loaded: LoadedVision, galleries: Galleries) -> Recogniser:
    rule = RecognitionRule(
        loaded.operating_points,
        settings.min_margin,
        Legibility(min_size_px=settings.min_face_px),
        loaded.calibration,
    )
    limits = ImageLimits(settings.max_image_bytes, settings.max_image_pixels)
    return Recogniser(loaded.vision, galleries, rule, limits, time.perf_counter_ns)
