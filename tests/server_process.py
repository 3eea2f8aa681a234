"""A real server in a process of its own, for end-to-end tests and benchmarks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

PROJECT = Path(__file__).resolve().parent.parent
MODELS = PROJECT / "models"


def models_are_there() -> bool:
    """Whether `make models` was run."""
    return (MODELS / "sface").is_dir()


class ServerProcess:
    """`python -m server` on free ports; a context manager that ends it.

    Attributes:
        port: of gRPC.
        metrics_port: of Prometheus.
        log: every line so far, parsed.
    """

    def __init__(self, data_dir: Path, *flags: str, models_dir: Path = MODELS) -> None:
        self._command = [
            sys.executable, "-m", "server", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0",
            "--data-dir", str(data_dir), "--models-dir", str(models_dir), *flags,
        ]  # fmt: skip
        self.port = 0
        self.metrics_port = 0
        self.log: list[dict[str, object]] = []
        self.stderr: list[str] = []
        self.process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    @property
    def address(self) -> str:
        """HOST:PORT of gRPC."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.terminate()

    def start(self, *, timeout_s: float = 90) -> None:
        """Starts the process and waits until it listens.

        Raises:
            RuntimeError: it ended or stayed silent; its log is in the message.
        """
        paths = os.pathsep.join(filter(None, [str(PROJECT), str(PROJECT / "proto"), os.environ.get("PYTHONPATH")]))
        self.process = subprocess.Popen(
            self._command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}, cwd=PROJECT
        )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        deadline = time.monotonic() + timeout_s
        while not self.port:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError("the server didn't start:\n" + "".join(self.stderr))
            time.sleep(0.02)

    def _read_log(self) -> None:
        assert self.process is not None
        assert self.process.stderr is not None
        for line in self.process.stderr:  # ends with the process
            self.stderr.append(line)
            if line.startswith("{"):
                entry = json.loads(line)
                self.log.append(entry)
                self.metrics_port = entry.get("metrics_port", self.metrics_port)
                self.port = entry.get("port", self.port)

    def terminate(self, *, timeout_s: float = 30) -> int:
        """SIGTERM; the exit status."""
        return self._end(signal.SIGTERM, timeout_s)

    def kill(self) -> int:
        """SIGKILL; the exit status."""
        return self._end(signal.SIGKILL, 10)

    def _end(self, number: signal.Signals, timeout_s: float) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self._close_log()

    def _close_log(self) -> None:
        assert self.process is not None
        assert self.process.stderr is not None
        if self._reader is not None:
            self._reader.join()
        self.process.stderr.close()
