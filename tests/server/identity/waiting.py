"""Waiting for what other threads do, with a bound."""

from __future__ import annotations

import time
from collections.abc import Callable

SOON_S = 10.0
"""Much longer than following takes, for machines that are busy."""


def soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SOON_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
