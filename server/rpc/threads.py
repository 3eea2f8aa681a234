"""Work in threads, which can't be interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

T = TypeVar("T")


async def run_to_its_end(executor: Executor, work: Callable[[], T]) -> T:
    """Does work in a thread. Whoever is cancelled meanwhile waits until the thread is free again.

    So a permit is held as long as the work that it was given for. Work that has not begun yet is left undone.

    Raises:
        Exception: what the work raises.
    """
    working = executor.submit(work)
    waiting = asyncio.wrap_future(working)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        if not working.cancel():
            await asyncio.wait([waiting])
            waiting.exception()  # nobody is there to be told
        raise
