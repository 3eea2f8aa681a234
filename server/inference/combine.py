"""Batches that form by themselves: concurrent calls of one network run together."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from server.inference.backend import Backend

Tensors = tuple[NDArray[np.float32], ...]


@dataclass(slots=True)
class _Call:
    batch: NDArray[np.float32]
    done: threading.Event = field(default_factory=threading.Event)
    outputs: Tensors | None = None
    error: BaseException | None = None


class CombiningBackend:
    """A backend that joins the calls which wait for it into one batch.

    The first caller runs at once; those who come meanwhile wait, and run together when it is done (Hendler et al.
    2010, flat combining). An idle network adds no delay, a busy one gets full batches. Only inputs of one size run
    together. Outputs keep each caller's own length and order; an error reaches every caller of its batch.

    Safe to call from many threads; the backend beneath is called by one thread at a time.

    Args:
        backend: runs the joined batches.
        max_batch: images in one batch; a single call that is larger runs alone.
    """

    def __init__(self, backend: Backend, *, max_batch: int) -> None:
        self.name = backend.name
        self._backend = backend
        self._max_batch = max_batch
        self._lock = threading.Lock()
        self._waiting: list[_Call] = []
        self._busy = False

    def run(self, batch: NDArray[np.float32]) -> Tensors:
        """As `Backend.run`."""
        call = _Call(batch)
        with self._lock:
            self._waiting.append(call)
            leader = not self._busy
            self._busy = True
        if leader:
            self._lead(call)
        call.done.wait()
        if call.error is not None:
            raise call.error
        assert call.outputs is not None
        return call.outputs

    def close(self) -> None:
        """Closes the backend beneath."""
        self._backend.close()

    def _lead(self, own: _Call) -> None:
        """Runs batches until the leader's own call is done and nobody waits."""
        while True:
            with self._lock:
                calls = self._next()
                if not calls:
                    self._busy = False
                    return
            self._run(calls)

    def _next(self) -> Sequence[_Call]:
        """The oldest waiting calls of one input size, as many as fit a batch."""
        if not self._waiting:
            return ()
        shape = self._waiting[0].batch.shape[1:]
        chosen: list[_Call] = []
        size = 0
        for call in self._waiting:
            if call.batch.shape[1:] != shape:
                continue
            if chosen and size + len(call.batch) > self._max_batch:
                break
            chosen.append(call)
            size += len(call.batch)
        self._waiting = [call for call in self._waiting if call not in chosen]
        return chosen

    def _run(self, calls: Sequence[_Call]) -> None:
        try:
            joined = calls[0].batch if len(calls) == 1 else np.concatenate([call.batch for call in calls])
            outputs = self._backend.run(joined)
            start = 0
            for call in calls:
                end = start + len(call.batch)
                call.outputs = tuple(output[start:end] for output in outputs)
                start = end
        except BaseException as error:  # noqa: BLE001 - it belongs to the callers, who raise it
            for call in calls:
                call.error = error
        finally:
            for call in calls:
                call.done.set()
