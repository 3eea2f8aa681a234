"""`facestream-server`: reads the settings and runs the server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from server.errors import FacestreamError, InvalidInputError
from server.settings import load_settings
from server.telemetry.logs import set_up_logging

_FAILED, _USAGE = 1, 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the server and exits: 0 after a drain, 1 when it can't start, 2 for wrong settings."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    printing = "--print-config" in given
    try:
        settings = load_settings([argument for argument in given if argument != "--print-config"])
        if printing:
            sys.stdout.write(settings.model_dump_json(indent=2) + "\n")
            return
        set_up_logging(style=settings.log_format, level=settings.log_level)
        # The libraries behind these take a second to load; --help doesn't need them.
        if settings.workers > 1:
            from server.supervisor import supervise as run
        else:
            from server.app import serve as run

        asyncio.run(run(settings))
    except FacestreamError as error:
        sys.stderr.write(f"facestream-server: {error.message}\n")
        sys.exit(_USAGE if isinstance(error, InvalidInputError) else _FAILED)
