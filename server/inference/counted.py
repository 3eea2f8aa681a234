"""A backend that tells how many images each batch held and how long it took."""

from __future__ import annotations

import time
from collections.abc import Callable

from server.inference.backend import Backend, Tensor
from server.inference.cuts import Batch

Ran = Callable[[int, int], None]
"""Called after each batch with its images and the nanoseconds that it took; by the thread that ran it."""


class CountedBackend:
    """Runs batches on the backend beneath and counts those that succeeded, padding included.

    Args:
        backend: runs the batches.
        ran: told of each.
    """

    def __init__(self, backend: Backend, ran: Ran) -> None:
        self._backend = backend
        self._ran = ran

    @property
    def name(self) -> str:
        """As that of the backend beneath, which may change."""
        return self._backend.name

    def run(self, batch: Batch) -> tuple[Tensor, ...]:
        """As `Backend.run`."""
        began = time.perf_counter_ns()
        outputs = self._backend.run(batch)
        self._ran(len(batch), time.perf_counter_ns() - began)
        return outputs

    def close(self) -> None:
        """Closes the backend beneath."""
        self._backend.close()
