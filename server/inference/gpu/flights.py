"""The batches on their way through a device: cut into pieces that it takes, and put together again in order."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from server.errors import InferenceError
from server.inference.backend import Tensor
from server.inference.cuts import Batch
from server.inference.gpu.device import DeviceError, Trouble
from server.inference.gpu.failures import failure, lost
from server.inference.gpu.network import Network
from server.inference.gpu.slot import Slot

_log = logging.getLogger(__name__)

Tensors: TypeAlias = tuple[Tensor, ...]


@dataclass(slots=True, eq=False)
class Call:
    """One caller's batch, cut into what the device takes at once.

    Attributes:
        waiting: (first, last + 1) rows that are not on their way yet, in order.
        answers: outputs of the pieces that are back, by first row.
    """

    network: Network
    batch: Batch
    future: Future[Tensors] = field(default_factory=Future)
    waiting: deque[tuple[int, int]] = field(default_factory=deque)
    answers: dict[int, Tensors] = field(default_factory=dict)
    rows_back: int = 0

    def fail(self, error: BaseException) -> None:
        """Tells the caller, unless it has its answer."""
        if not self.future.done():
            self.future.set_exception(error)

    def cut(self, longest: int) -> tuple[int, int]:
        """Takes the next rows that wait, at most `longest`."""
        first, end = self.waiting.popleft()
        if end - first > longest:
            self.waiting.appendleft((first + longest, end))
            end = first + longest
        return first, end

    def take(self, piece: tuple[int, int], answer: Tensors) -> None:
        """Keeps the outputs of a piece; after the last one the caller has its answer."""
        self.answers[piece[0]] = answer
        self.rows_back += piece[1] - piece[0]
        if self.rows_back == len(self.batch) and not self.future.done():
            self._answer()

    def _answer(self) -> None:
        """Puts the pieces together, which takes memory of the host that may not be there."""
        parts = [self.answers[first] for first in sorted(self.answers)]
        try:
            whole = parts[0] if len(parts) == 1 else _joined(parts)
        except BaseException as error:  # noqa: BLE001 - a bug must reach its caller, not end the thread
            self.fail(error)
        else:
            self.future.set_result(whole)


@dataclass(slots=True, eq=False)
class _Flight:
    """A piece on its way."""

    call: Call
    piece: tuple[int, int]
    slot: Slot


class Flights:
    """Puts calls on their way through a device and brings their answers home; only the worker's thread uses it.

    - Out of memory: everything on its way is brought home, caches are emptied, and the batch goes again in halves, as
      later ones of that network do.
    - Lost device: every call on its way and every later one fails with DEVICE_LOST.

    Args:
        spare: gives back memory of the device that no batch needs now, beside that of its network.
        attempt: has the device do the simplest thing; raises DeviceError when it doesn't.

    Attributes:
        lost: what the device said when it was lost; None while it works. Any thread may read it.
    """

    def __init__(self, spare: Callable[[], None], attempt: Callable[[], None]) -> None:
        self.lost: str | None = None
        self._spare = spare
        self._attempt = attempt
        self._flights: deque[_Flight] = deque()

    def __bool__(self) -> bool:
        """Whether anything is on its way."""
        return bool(self._flights)

    def begin(self, call: Call) -> None:
        """Puts a whole call on its way; what goes wrong is told to its caller."""
        if self.lost is not None:
            call.fail(lost(self.lost))
            return
        if not call.network.open:
            call.fail(InferenceError("BACKEND_CLOSED", "the network was closed and takes no more batches"))
            return
        call.waiting.append((0, len(call.batch)))
        try:
            self._go_on(call)
        except BaseException as error:  # noqa: BLE001 - a bug must reach its caller, not end the thread
            call.fail(error)

    def land(self) -> None:
        """Brings the oldest piece home."""
        flight = self._flights.popleft()
        call = flight.call
        try:
            answer = flight.slot.land()
        except DeviceError as error:
            call.network.idle.append(flight.slot)
            self._failed(call, flight.piece, error)
            return
        except BaseException as error:  # noqa: BLE001 - as in `begin`
            call.network.idle.append(flight.slot)
            call.fail(error)
            return
        call.network.idle.append(flight.slot)
        call.take(flight.piece, answer)

    def land_all(self) -> None:
        """Brings everything home."""
        while self._flights:
            self.land()

    def note(self, error: DeviceError) -> None:
        """Once the device is lost, everything on its way is told."""
        if self.lost is not None or not self._means_loss(error):
            return
        self.lost = error.message
        _log.error("GPU lost", extra={"error": error.message})
        for flight in self._flights:
            flight.call.fail(lost(error.message))
        self._flights.clear()

    def _means_loss(self, error: DeviceError) -> bool:
        """Whether the device is lost; where the error doesn't say so, it is if it fails at the simplest thing too."""
        if error.trouble is not Trouble.FAILED:
            return error.trouble is Trouble.LOST
        try:
            self._attempt()
        except DeviceError as another:
            return another.trouble is not Trouble.OUT_OF_MEMORY
        return False

    def _go_on(self, call: Call) -> None:
        """Puts the rows of a call that wait on their way, in pieces that the device takes."""
        while call.waiting and not call.future.done():
            if self.lost is not None:  # places of what was on its way are not given back then
                call.fail(lost(self.lost))
                return
            if call.network.idle:
                self._start(call)
            else:
                self.land()

    def _start(self, call: Call) -> None:
        longest = call.network.longest(call.batch.shape[1:])
        piece = first, end = call.cut(longest)
        slot = call.network.idle.popleft()
        try:
            slot.start(call.batch[first:end], _bucket(end - first, longest))
        except DeviceError as error:
            call.network.idle.append(slot)
            self._failed(call, piece, error)
        except BaseException as error:  # noqa: BLE001 - as in `begin`
            call.network.idle.append(slot)
            call.fail(error)
        else:
            self._flights.append(_Flight(call, piece, slot))

    def _failed(self, call: Call, piece: tuple[int, int], error: DeviceError) -> None:
        self.note(error)
        first, end = piece
        if call.future.done():
            return
        if self.lost is not None:
            call.fail(lost(self.lost))
        elif error.trouble is Trouble.OUT_OF_MEMORY and end - first > 1:
            self._halve(call, piece, error)
        else:
            call.fail(failure(error))

    def _halve(self, call: Call, piece: tuple[int, int], error: DeviceError) -> None:
        first, end = piece
        half = _power_below(end - first)
        call.network.limit = min(call.network.limit, half)
        _log.warning(
            "GPU out of memory; batches are halved",
            extra={"rows": end - first, "limit": call.network.limit, "error": error.message},
        )
        call.waiting.appendleft(piece)
        self.land_all()
        if self.lost is None:
            try:
                call.network.shrink()
                self._spare()
            except DeviceError as trouble:
                self.note(trouble)
                call.fail(failure(trouble))
        self._go_on(call)


def _bucket(rows: int, longest: int) -> int:
    """The next power of two, so that few shapes are ever seen."""
    return min(longest, 1 << (rows - 1).bit_length())


def _power_below(rows: int) -> int:
    """The largest power of two below `rows`, which is at least 2."""
    return 1 << ((rows - 1).bit_length() - 1)


def _joined(parts: list[Tensors]) -> Tensors:
    return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))
