"""A server of several processes: they share one port and one data directory, and this one looks after them.

The kernel spreads connections over the workers (SO_REUSEPORT); a connection, and with it a camera's stream, stays with
its worker. Every worker reads and writes the galleries and follows what the others write (server/identity/catch_up.py).
The supervisor holds the data directory's lock and the port, shows the sum of the workers' metrics, starts a worker that
died anew, and passes SIGTERM on. It loads no models.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from server.errors import ConflictError
from server.identity.directory import DataDirectory
from server.seat import Seat
from server.settings import Settings
from server.telemetry.exporter import exported

_log = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
"""Before a worker that died is started anew; doubled each time, unless it had lived for a while."""

_A_WHILE_S = 60.0
_KILL_AFTER_S = 10.0
"""How much longer than `drain_s` a worker may take to stop."""


async def supervise(settings: Settings) -> None:
    """Runs the workers until SIGTERM or SIGINT.

    Raises:
        DataDirectoryInUseError: another server holds the data directory.
        ConflictError: an address is taken, or a worker can't start; it has said why.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    with ExitStack() as undo:
        directory = DataDirectory.hold(settings.data_dir)
        undo.callback(directory.release)
        reserved = undo.enter_context(_reserved(settings.listen))
        samples = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="facestream-metrics-")))
        undo.enter_context(exported(settings.metrics_listen, _sum_of(samples)))
        host, port = settings.listen.rpartition(":")[0], reserved.getsockname()[1]
        group = _Group(settings, f"{host}:{port}", directory.handle, samples, stopping)
        await group.run(lambda: _log.info("listening on %s:%d", host, port, extra={"port": port}))
    _log.info("stopped")


def _reserved(address: str) -> socket.socket:
    """A socket that is bound to the port and never listens: it keeps the port for the workers.

    It is bound alone first. Otherwise a port that another server shares among its workers could be taken a part of.
    """
    host, _, port = address.rpartition(":")
    try:
        family, kind, _, _, place = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as alone:
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind(place)
            place = alone.getsockname()
        shared = socket.socket(family, kind)
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        shared.bind(place)
    except OSError as error:
        raise ConflictError(
            "ADDRESS_UNAVAILABLE", f"can't listen on {address}: {error.strerror}; choose another with --listen"
        ) from error
    return shared


def _sum_of(samples: Path) -> CollectorRegistry:
    """The workers' metrics, added up."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(samples))  # type: ignore[no-untyped-call]
    return registry


class _Group:
    """The workers."""

    def __init__(self, settings: Settings, listen: str, lock: int, samples: Path, stopping: asyncio.Event) -> None:
        self._settings = settings
        self._listen = listen
        self._lock = lock
        self._samples = samples
        self._stopping = stopping
        self._running: dict[int, Process] = {}

    async def run(self, when_ready: Callable[[], None]) -> None:
        """Starts the workers, the first one before the others, and keeps them running until it is time to stop.

        Raises:
            ConflictError: one can't start.
        """
        ready = [asyncio.Event() for _ in range(self._settings.workers)]
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep(0, ready[0]))
                await self._either(ready[0].wait())
                for number in range(1, len(ready)):
                    tasks.create_task(self._keep(number, ready[number]))
                for event in ready:
                    await self._either(event.wait())
                if not self._stopping.is_set():
                    when_ready()
                await self._stopping.wait()
                await self._stop()
        except* ConflictError as errors:
            raise errors.exceptions[0] from None
        finally:
            await self._stop()

    async def _either(self, awaited: Coroutine[Any, Any, object]) -> None:
        """Waits for something, or for the time to stop."""
        waits = [asyncio.ensure_future(awaited), asyncio.ensure_future(self._stopping.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _keep(self, number: int, ready: asyncio.Event) -> None:
        """Runs a worker, again and again if it dies after it was ready once."""
        pause_s = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            started = time.monotonic()
            end = await self._life(number, ready)
            if self._stopping.is_set():
                return
            if not ready.is_set():
                raise ConflictError("WORKER_FAILED", f"worker {number} could not start ({end}); see above")
            if time.monotonic() - started > _A_WHILE_S:
                pause_s = _FIRST_PAUSE_S
            _log.error("worker died and is started anew", extra={"worker": number, "end": end, "pause_s": pause_s})
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _life(self, number: int, ready: asyncio.Event) -> str:
        """A worker's life from start to end; says how it ended. Memory may be too short to start one."""
        try:
            process = await self._start(number, first=not ready.is_set())
        except OSError as error:
            return f"no process: {error.strerror or error}"
        await self._run_out(process, ready)
        return f"exit status {process.returncode}"

    async def _start(self, number: int, *, first: bool) -> Process:
        seat = Seat(number, self._settings.workers, self._listen, self._lock, listens_first=number == 0 and first)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "server.worker"),
            stdin=PIPE,
            stdout=PIPE,
            pass_fds=(self._lock,),
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(self._samples)},
        )
        self._running[number] = process
        order = {"settings": self._settings.model_dump(mode="json"), "seat": asdict(seat)}
        assert process.stdin is not None
        process.stdin.write(json.dumps(order).encode() + b"\n")
        with suppress(ConnectionError):  # it has ended already; that is noticed where its end is awaited
            await process.stdin.drain()
        if self._stopping.is_set():  # it came too late to be stopped with the others
            with suppress(ProcessLookupError):
                process.terminate()
        return process

    async def _run_out(self, process: Process, ready: asyncio.Event) -> None:
        """Waits until a worker ends; takes note when it is ready."""
        assert process.stdout is not None
        if await process.stdout.readline():
            ready.set()
        await process.wait()
        mark_process_dead(process.pid, str(self._samples))  # type: ignore[no-untyped-call]

    async def _stop(self) -> None:
        """Has all workers drain, and kills those that take too long."""
        self._stopping.set()
        alive = [process for process in self._running.values() if process.returncode is None]
        for process in alive:
            with suppress(ProcessLookupError):
                process.terminate()
        try:
            async with asyncio.timeout(self._settings.drain_s + _KILL_AFTER_S):
                await asyncio.gather(*(process.wait() for process in alive))
        except TimeoutError:
            _log.error("workers that don't stop are killed")
            for process in alive:
                with suppress(ProcessLookupError):
                    process.kill()
            await asyncio.gather(*(process.wait() for process in alive))
