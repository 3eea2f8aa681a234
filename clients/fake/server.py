"""The fake services on a port."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from facestream.v1 import (
    gallery_pb2_grpc,
    recognition_pb2,
    recognition_pb2_grpc,
    server_pb2,
    server_pb2_grpc,
    sighting_pb2_grpc,
    unknown_pb2_grpc,
)
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from clients.channel import MAX_MESSAGE_BYTES
from clients.fake.gallery import FakeGallery
from clients.fake.script import Script, answer_nothing
from clients.fake.seen import FakeSightings, FakeUnknowns
from clients.fake.stream import FakeRecognition

_T = TypeVar("_T")


class FakeServerInfo(server_pb2_grpc.ServerServiceServicer):
    """The fake ServerService."""

    async def GetServerInfo(  # noqa: N802 - the name in the API
        self, request: server_pb2.GetServerInfoRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> server_pb2.GetServerInfoResponse:
        """A made-up description."""
        del request, context
        model = server_pb2.ModelInfo(
            kind="embedder",
            model="sface/2021dec",
            sha256="00" * 32,
            licence="Apache-2.0",
            backend="fake",
            backend_reason="nothing else is there",
            runtimes=[server_pb2.RuntimeTrial(runtime="fake", passed=True, finding="the reference", cpu_ms=1.5)],
        )
        response = server_pb2.GetServerInfoResponse(
            version="0.0.0",
            models=[model],
            fingerprint="fake",
            limits=server_pb2.ServerLimits(image_bytes=2**24, image_pixels=2**25, enrolment_photos=64, streams=64),
            target_far=0.001,
            keeps_sightings=True,
        )
        response.uptime.FromSeconds(3_723)
        return response

    async def GetServerStatistics(  # noqa: N802
        self, request: server_pb2.GetServerStatisticsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> server_pb2.GetServerStatisticsResponse:
        """Made-up figures: one camera that sends more than is answered."""
        del request, context
        superseded = server_pb2.DropStatistics(
            reason=recognition_pb2.DROP_REASON_SUPERSEDED, frame_count=40, frames_per_second=2.5
        )
        response = server_pb2.GetServerStatisticsResponse(resident_bytes=300 * 2**20)
        response.period.FromSeconds(10)
        response.uptime.FromSeconds(3_723)
        response.cpu_time.FromSeconds(120)
        camera = response.cameras.add(
            camera="door", session="fake", gallery="tenants/default/galleries/default", received_count=500,
            result_count=455, error_count=5, drops=[superseded], received_per_second=15, results_per_second=12.5,
            face_count=3, track_count=2, width=1280, height=720,
        )  # fmt: skip
        camera.connected.FromSeconds(33)
        camera.latency_p50.FromMilliseconds(21)
        camera.latency_p95.FromMilliseconds(64)
        stage = response.stages.add(stage="detect", frame_count=125)
        stage.p50.FromMilliseconds(7)
        stage.p95.FromMilliseconds(9)
        stage.p99.FromMilliseconds(12)
        response.networks.add(
            network="embedder", batch_count=900, image_count=1500, batches_per_second=9.0, images_per_batch=1.7,
            largest_batch=8, load=0.31,
        )  # fmt: skip
        return response


class FakeServer:
    """All services of facestream.v1 and health, in this process and event loop.

    Args:
        script: what to do with the frames of streams.

    Attributes:
        recognition: the fake RecognitionService.
        gallery: the fake GalleryService.
        sightings: the fake SightingService.
        unknowns: the fake UnknownService.
        health: the health service; SERVING from the start.
    """

    def __init__(self, script: Script = answer_nothing) -> None:
        self.recognition = FakeRecognition()
        self.recognition.script = script
        self.gallery = FakeGallery()
        self.sightings = FakeSightings()
        self.unknowns = FakeUnknowns(self.gallery, self.sightings)
        self.health = health.aio.HealthServicer()
        self._port = 0
        self._server: grpc.aio.Server | None = None

    @property
    def target(self) -> str:
        """HOST:PORT; the same after a new start."""
        return f"127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Listens, on the port of the last time if there was one."""
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.so_reuseport", 0),
            ]
        )
        recognition_pb2_grpc.add_RecognitionServiceServicer_to_server(self.recognition, server)
        gallery_pb2_grpc.add_GalleryServiceServicer_to_server(self.gallery, server)
        sighting_pb2_grpc.add_SightingServiceServicer_to_server(self.sightings, server)
        unknown_pb2_grpc.add_UnknownServiceServicer_to_server(self.unknowns, server)
        server_pb2_grpc.add_ServerServiceServicer_to_server(FakeServerInfo(), server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, server)
        await self.health.set("", health_pb2.HealthCheckResponse.SERVING)
        self._port = server.add_insecure_port(f"127.0.0.1:{self._port}")
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Falls over: open calls end at once."""
        if self._server is not None:
            await self._server.stop(0)
            self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


async def _calls_ended() -> None:
    """Waits for the calls that a stopped server has cancelled; whatever outlived its loop would complain later."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=10)


class ServerThread:
    """A fake server in a thread of its own, for programs without an event loop.

    Attributes:
        server: its scripts and records may be touched from any thread.
    """

    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-server", daemon=True)

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Runs something in the server's event loop and waits for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    def start(self) -> None:
        """Starts thread and server."""
        self._thread.start()
        self.run(self.server.start())

    def stop(self) -> None:
        """Stops server and thread."""
        self.run(self.server.stop())
        self.run(_calls_ended())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def served(script: Script = answer_nothing) -> Iterator[FakeServer]:
    """A fake server that runs in a thread for the length of a `with` block."""
    thread = ServerThread(FakeServer(script))
    thread.start()
    try:
        yield thread.server
    finally:
        thread.stop()
