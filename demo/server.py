"""A real server in a process of its own, with an empty gallery."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from clients.client import Client
from clients.errors import UnavailableError
from clients.people import Health
from demo.commands import PROJECT, announce, program, shown
from demo.errors import DemoError

_PORT = 50051
_START_S, _STOP_S = 120.0, 40.0
_LOG_LINES = 8


@contextmanager
def running_server(data: Path, log: Path, console: Console, flags: Sequence[str] = ()) -> Iterator[str]:
    """The HOST:PORT of a server that is ready; it is stopped with SIGTERM at the end.

    Args:
        data: its data directory.
        log: file for its log.
        console: shows the command.
        flags: further ones; the last of a kind holds.

    Raises:
        DemoError: it does not get ready, or does not stop in order.
    """
    address = f"127.0.0.1:{free_port(_PORT)}"
    command = [program("facestream-server"), "--listen", address, "--metrics-listen", "127.0.0.1:0"]
    command += ["--data-dir", shown(data), "--models-dir", "models", *flags]
    announce(console, command, then=f" 2> {shown(log)} &")
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=PROJECT, stdout=file, stderr=file)
    try:
        asyncio.run(_ready(address, process, log))
        yield address
        announce(console, ["kill", "-TERM", str(process.pid)])
        _stop(process, log)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def free_port(wanted: int) -> int:
    """The wanted port of the loopback interface, or any other when it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DemoError("no port of 127.0.0.1 is free")


async def _ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Waits until grpc.health.v1 says SERVING."""
    deadline = time.monotonic() + _START_S
    async with Client(address, timeout_s=2) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise DemoError(f"the server ended with exit code {process.returncode}:\n{_tail(log)}")
            try:
                if await client.health() is Health.SERVING:
                    return
            except UnavailableError:
                pass  # the port is not open yet
            await asyncio.sleep(0.1)
    raise DemoError(f"the server was not ready after {_START_S:.0f} s:\n{_tail(log)}")


def _stop(process: subprocess.Popen[bytes], log: Path) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        code = process.wait(_STOP_S)
    except subprocess.TimeoutExpired as error:
        raise DemoError(f"the server did not stop within {_STOP_S:.0f} s of SIGTERM:\n{_tail(log)}") from error
    if code:
        raise DemoError(f"the server stopped with exit code {code}:\n{_tail(log)}")


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join([f"  {line}" for line in lines[-_LOG_LINES:]] + [f"(all of it is in {shown(log)})"])
