"""What TensorRT says while it works: into our log, and its errors to whoever called it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_log = logging.getLogger(__name__)

_loggers: dict[int, tuple[Any, Any]] = {}
"""By the identity of TensorRT's module: the module, which is kept for that, and its logger."""
_making = threading.Lock()

_listeners: dict[int, list[str]] = {}
"""By thread: the errors that were said while it calls the library."""


def logger_of(api: Any) -> Any:  # noqa: ANN401 - TensorRT has no types
    """The logger of this process. There is one: TensorRT keeps to the first that it got while anything of it lives."""
    with _making:
        if id(api) not in _loggers:
            _loggers[id(api)] = (api, _made(api))
        return _loggers[id(api)][1]


@contextmanager
def listening() -> Iterator[list[str]]:
    """The errors that the library says while this thread calls it.

    What it says in a thread of its own is for everybody who calls it at that time.
    """
    thread, said = threading.get_ident(), list[str]()
    _listeners[thread] = said
    try:
        yield said
    finally:
        del _listeners[thread]


def _heard(message: str) -> None:
    own = _listeners.get(threading.get_ident())
    for said in tuple(_listeners.values()) if own is None else (own,):
        said.append(message)


def _made(api: Any) -> Any:  # noqa: ANN401
    levels = {
        api.ILogger.Severity.INTERNAL_ERROR: logging.ERROR,
        api.ILogger.Severity.ERROR: logging.ERROR,
        api.ILogger.Severity.WARNING: logging.DEBUG,  # notes about the graph, of no use to whoever runs a server
        api.ILogger.Severity.INFO: logging.DEBUG,
    }

    class Log(api.ILogger):  # type: ignore[misc]
        """Passes messages on."""

        def __init__(self) -> None:
            api.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:  # noqa: ANN401
            """One message, in any thread."""
            level = levels.get(severity)
            if level is None:
                return
            if level == logging.ERROR:
                _heard(message)
            _log.log(level, "TensorRT: %s", message)

    return Log()
