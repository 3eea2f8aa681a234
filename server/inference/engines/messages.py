"""What TensorRT says while it works: into our log, and its errors to whoever called it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_log = logging.getLogger(__name__)

_loggers: dict[int, tuple[Any, Any]] = {}
"""By the identity of TensorRT's module: the module, which is kept for that, and its logger."""
_making = threading.Lock()


@dataclass(slots=True)
class Said:
    """The errors that the library said while a thread called it.

    Attributes:
        own: said in the thread that called; a decision may rest on these alone.
        overheard: said by threads of the library's own, perhaps for somebody else who called it at that time.
    """

    own: list[str] = field(default_factory=list)
    overheard: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All of it, the thread's own first."""
        return "; ".join((*self.own, *self.overheard))


_listeners: dict[int, Said] = {}
"""By thread: what was said while it calls the library."""


def logger_of(api: Any) -> Any:  # noqa: ANN401 - TensorRT has no types
    """The logger of this process. There is one: TensorRT keeps to the first that it got while anything of it lives."""
    with _making:
        if id(api) not in _loggers:
            _loggers[id(api)] = (api, _made(api))
        return _loggers[id(api)][1]


@contextmanager
def listening() -> Iterator[Said]:
    """The errors that the library says while this thread calls it."""
    thread, said = threading.get_ident(), Said()
    _listeners[thread] = said
    try:
        yield said
    finally:
        del _listeners[thread]


def _heard(message: str) -> None:
    caller = _listeners.get(threading.get_ident())
    if caller is not None:
        caller.own.append(message)
        return
    for said in tuple(_listeners.values()):
        said.overheard.append(message)


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
