"""The composition root: starts a server's parts in order, stops them in order."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable

import cv2
import grpc

from server.compose.endpoint import SERVICES, endpoint_of, listen, refuse_open_plaintext
from server.compose.parts import Parts, opened
from server.compose.services import add_services
from server.rpc.gpu_watch import GpuWatch
from server.rpc.health import Health
from server.rpc.late import LateServices
from server.seat import Seat
from server.settings import Settings
from server.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)

_SWITCH_S = 0.0001
"""A thread that comes back from native code waits at most so long for the interpreter, dozens of times in a frame.

With Python's own 5 ms it would wait as long as a network takes; docs/benchmarks.md has what was tried.
"""


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
    refuse_open_plaintext(settings)
    _set_up_threads()
    stopping = _stop_signal()
    metrics = Metrics.registered()
    health, late = Health(SERVICES), LateServices(SERVICES)
    server = endpoint_of(settings, metrics.calls, late, shared_port=seat is not None)
    await health.register(server)
    address = settings.listen if seat is None else seat.listen
    listens_first = seat is None or seat.listens_first
    port = await listen(server, address) if listens_first else 0
    try:
        watch = GpuWatch(metrics.networks, health)
        async with opened(settings, metrics, watch, seat) as parts:
            add_services(late, parts)
            late.open()
            if not watch.failed:
                await health.serving()
            if not listens_first:
                await listen(server, address)
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


def _set_up_threads() -> None:
    sys.setswitchinterval(_SWITCH_S)
    cv2.setNumThreads(1)  # frames run beside each other; threads inside one would only fight


def _stop_signal() -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping


async def _drain(server: grpc.aio.Server, health: Health, parts: Parts) -> None:
    """Says NOT_SERVING, lets streams and calls finish, and ends what is left after the grace period."""
    _log.info("draining", extra={"streams": parts.streams.open, "grace_s": parts.settings.drain_s})
    await health.not_serving()
    parts.streams.draining.set()
    await server.stop(parts.settings.drain_s)
