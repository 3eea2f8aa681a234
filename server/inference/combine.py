"""Batches that form by themselves: concurrent calls of one network run together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.inference.backend import Backend
from server.inference.batch import run_in_buckets
from server.inference.cuts import Batch, joined

Tensors = tuple[NDArray[np.float32], ...]


@dataclass(slots=True, eq=False)
class _Call:
    """One caller's batch and what became of it."""

    batch: Batch
    patient: bool
    outputs: Tensors | None = None
    error: BaseException | None = None

    @property
    def finished(self) -> bool:
        return self.outputs is not None or self.error is not None


class CombiningBackend:
    """A backend that joins the calls which wait for it into one batch, urgent calls before patient ones.

    A caller who finds a free lane runs at once; those who come meanwhile wait, and run together when a lane is free
    again: one of them takes the others along (Hendler et al. 2010, flat combining). An idle network adds no delay, a
    busy one gets full batches. Only inputs of one size run together, in batches of a few fixed lengths. Outputs keep
    each caller's own length and order. When a joined batch fails, each call runs alone, so that an error reaches only
    the caller whose it is.

    Safe to call from many threads; the backend beneath is called by as many threads at a time as it has lanes.

    Args:
        backend: runs the joined batches.
        max_batch: images in one batch; a single call that is larger runs alone.
        lanes: batches that the backend runs at once.
        max_delay_s: how long an idle lane waits for a batch to fill up. 0 where batches cost as much as their images,
            as on a CPU; a few milliseconds where a large batch costs little more than a small one, as on a GPU.
        in_buckets: whether batches are cut and filled up to a few lengths; not for a backend that does it by itself.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        max_batch: int,
        lanes: int = 1,
        max_delay_s: float = 0.0,
        in_buckets: bool = True,
    ) -> None:
        self._backend = backend
        self._max_batch = max_batch
        self._in_buckets = in_buckets
        self._changed = threading.Condition()
        self._waiting: list[_Call] = []
        self._free = lanes
        self._max_delay_s = max_delay_s

    @property
    def name(self) -> str:
        """As that of the backend beneath, which may change."""
        return self._backend.name

    def run(self, batch: Batch) -> Tensors:
        """As `Backend.run`, before all patient calls that wait."""
        return self._answer(_Call(batch, patient=False))

    def patient(self) -> Backend:
        """The same backend for calls that let others go first; they go along where a batch has room."""
        return _PatientBackend(self.name, self._answer)

    def _answer(self, call: _Call) -> Tensors:
        with self._changed:
            self._waiting.append(call)
            self._changed.notify_all()
            self._waiting.sort(key=lambda each: each.patient)  # stable: the oldest first among equals
        while calls := self._oldest_while(call):
            self._lead(calls)
        with self._changed:
            while not call.finished:
                self._changed.wait()
        if call.error is not None:
            raise call.error
        assert call.outputs is not None
        return call.outputs

    def close(self) -> None:
        """Closes the backend beneath."""
        self._backend.close()

    def _lead(self, calls: Sequence[_Call]) -> None:
        """Runs the calls and gives the lane back."""
        try:
            self._run(calls)
        finally:
            with self._changed:
                self._free += 1
                self._changed.notify_all()

    def _oldest_while(self, own: _Call) -> list[_Call]:
        """The next batch, and a lane for it; nothing once somebody has taken the caller's own call.

        The oldest call sets the size and others that fit go with it, so that nobody is overtaken for long. It may not
        hold the caller's own, who then leads again.
        """
        with self._changed:
            while self._free == 0 and own in self._waiting:
                self._changed.wait()
            if own not in self._waiting:
                return []
            self._free -= 1
            self._linger()
            if self._waiting:
                return self._next()
            self._free += 1  # another lane took everybody along meanwhile
            return []

    def _linger(self) -> None:
        """Waits for company, while the batch has room and nobody has waited too long."""
        until = time.monotonic() + self._max_delay_s
        while 0 < sum(len(call.batch) for call in self._waiting) < self._max_batch:
            left_s = until - time.monotonic()
            if left_s <= 0:
                return
            self._changed.wait(left_s)

    def _next(self) -> list[_Call]:
        oldest = self._waiting[0]
        chosen: list[_Call] = []
        size = 0
        for call in self._waiting:
            if call.batch.shape[1:] != oldest.batch.shape[1:]:
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

    def _run_joined(self, calls: Sequence[_Call]) -> None:
        batch = joined([call.batch for call in calls])
        outputs = run_in_buckets(self._backend, batch) if self._in_buckets else self._backend.run(batch)
        start = 0
        for call in calls:
            end = start + len(call.batch)
            call.outputs = tuple(output[start:end] for output in outputs)
            start = end


@dataclass(frozen=True, slots=True)
class _PatientBackend:
    """The patient side of a combining backend; closing it closes nothing."""

    name: str
    answer: Callable[[_Call], Tensors]

    def run(self, batch: Batch) -> Tensors:
        """As `Backend.run`."""
        return self.answer(_Call(batch, patient=True))

    def close(self) -> None:
        """The combining backend is closed by whoever opened it."""
