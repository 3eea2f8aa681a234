"""One engine at a time is built in a process, and no CUDA graph is recorded meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from server.inference.engines.progress import Progress

_ONE_BUILD = threading.Lock()
"""Builds that time kernels on one GPU beside each other choose bad ones (TensorRT Developer Guide, Threading); held to
one in each process."""

_PATIENCE_S = 0.1
"""For how long somebody waits before asking whether he still has to."""


@contextmanager
def no_build() -> Iterator[bool]:
    """Whether no engine is built now in this process, and none will be meanwhile: for recording a CUDA graph.

    A build may wait for the whole device, and such a wait breaks a recording of any mode in any other thread, and the
    build with it (github.com/NVIDIA/TensorRT, issue 2888).
    """
    free = _ONE_BUILD.acquire(blocking=False)
    try:
        yield free
    finally:
        if free:
            _ONE_BUILD.release()


@contextmanager
def only_build(progress: Progress) -> Iterator[None]:
    """Waits until no other engine is built in this process, nor a graph recorded; none is until the end.

    Raises:
        CalledOffError: it isn't wanted any more.
    """
    while not _ONE_BUILD.acquire(timeout=_PATIENCE_S):
        progress.go_on()
    try:
        progress.go_on()
        yield
    finally:
        _ONE_BUILD.release()
