"""Batches that form by themselves: concurrent calls of one network run together."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from server.inference.backend import Backend
from server.inference.batch import run_in_buckets

Tensors = tuple[NDArray[np.float32], ...]


@dataclass(slots=True, eq=False)
class _Call:
    """One caller's batch; `turn` is set when it is finished, or when its caller must lead."""

    batch: NDArray[np.float32]
    turn: threading.Event = field(default_factory=threading.Event)
    outputs: Tensors | None = None
    error: BaseException | None = None

    @property
    def finished(self) -> bool:
        return self.outputs is not None or self.error is not None


class CombiningBackend:
    """A backend that joins the calls which wait for it into one batch.

    The first caller runs at once; those who come meanwhile wait, and run together when it is done: one of them leads
    the next batch (Hendler et al. 2010, flat combining). An idle network adds no delay, a busy one gets full batches.
    Only inputs of one size run together, in batches of a few fixed lengths. Outputs keep each caller's own length and
    order. When a joined batch fails, each call runs alone, so that an error reaches only the caller whose it is.

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
        self._led = False

    def run(self, batch: NDArray[np.float32]) -> Tensors:
        """As `Backend.run`."""
        call = _Call(batch)
        with self._lock:
            self._waiting.append(call)
            leads, self._led = not self._led, True
        if not leads:
            call.turn.wait()
        if not call.finished:
            self._lead()
        if call.error is not None:
            raise call.error
        assert call.outputs is not None
        return call.outputs

    def close(self) -> None:
        """Closes the backend beneath."""
        self._backend.close()

    def _lead(self) -> None:
        """Runs the oldest waiting calls, the leader's own first, and hands the lead on."""
        with self._lock:
            calls = self._next()
        self._run(calls)
        with self._lock:
            if self._waiting:
                self._waiting[0].turn.set()
            else:
                self._led = False

    def _next(self) -> list[_Call]:
        """The oldest waiting calls of one input size, as many as fit a batch."""
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
            self._run_joined(calls)
        except BaseException as error:  # noqa: BLE001 - it belongs to the callers, who raise it
            if len(calls) > 1:  # one bad batch must not fail the others: each runs alone
                for call in calls:
                    self._run([call])
            else:
                calls[0].error = error
        finally:
            for call in calls:
                call.turn.set()

    def _run_joined(self, calls: Sequence[_Call]) -> None:
        joined = calls[0].batch if len(calls) == 1 else np.concatenate([call.batch for call in calls])
        outputs = run_in_buckets(self._backend, joined)
        start = 0
        for call in calls:
            end = start + len(call.batch)
            call.outputs = tuple(output[start:end] for output in outputs)
            start = end
