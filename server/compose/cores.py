"""How many cores and threads one of the server's processes may use."""

from __future__ import annotations

import os

from server.settings import Settings


def cores_of(settings: Settings) -> int:
    """Cores of one of the server's processes."""
    return max(1, (os.cpu_count() or 1) // settings.workers)


def frame_threads(settings: Settings) -> int:
    """Threads that work on frames."""
    return settings.frame_threads or cores_of(settings)
