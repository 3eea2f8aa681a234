"""Ctrl-C while a native library builds: what it calls back into swallows exceptions, so it is told in another way."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from server.inference.engines.progress import CalledOffError


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets, for `Progress`; a second Ctrl-C interrupts wherever that happens to be.

    Only for the main thread, as Python's signal handlers are.

    Raises:
        KeyboardInterrupt: the work was called off by it.
    """
    unwanted = threading.Event()

    def call_off(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        unwanted.set()
        sys.stderr.write("stopping after this step; Ctrl-C again to stop at once\n")

    before = signal.signal(signal.SIGINT, call_off)
    try:
        yield unwanted
    except CalledOffError as error:
        raise KeyboardInterrupt from error
    finally:
        signal.signal(signal.SIGINT, before)
