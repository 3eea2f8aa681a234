"""One process of a server that has several; `server.supervisor` starts it.

Its settings and its seat come as one line of JSON on standard input. Standard input then stays open as long as the
supervisor lives: when it ends, the worker drains and ends too. Once it serves it says so in a line on standard output.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading

from server.errors import FacestreamError
from server.seat import Seat
from server.settings import Settings
from server.telemetry.logs import set_up_logging

READY = b"ready\n"
"""What a worker says once it serves."""


def main() -> None:
    """Runs the worker and exits: 0 after a drain, 1 when it can't start."""
    line = sys.stdin.buffer.readline()
    if not line:  # the supervisor has ended
        return
    order = json.loads(line)
    settings, seat = Settings(**order["settings"]), Seat(**order["seat"])
    set_up_logging(style=settings.log_format, level=settings.log_level, worker=seat.number)
    from server.app import serve

    threading.Thread(target=_stop_with_the_supervisor, daemon=True).start()
    try:
        asyncio.run(serve(settings, seat=seat, ready=lambda: os.write(sys.stdout.fileno(), READY)))
    except FacestreamError as error:
        sys.stderr.write(f"facestream-server: worker {seat.number}: {error.message}\n")
        sys.exit(1)


def _stop_with_the_supervisor() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
