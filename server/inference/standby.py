"""A backend that gets ready while another serves, takes over when it is, and gives way if its device is lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from server.errors import FacestreamError, InferenceError
from server.inference.backend import Backend, Tensor, check_batch, closed
from server.inference.batch import run_in_buckets
from server.inference.cuts import Batch

_log = logging.getLogger(__name__)


class Standing(Enum):
    """Where the wanted backend stands."""

    PREPARING = "preparing"
    """It is being built; the standby serves."""
    LIVE = "live"
    """It serves."""
    REFUSED = "refused"
    """It could not be built, or did not pass the parity gate; the standby serves until the server is restarted."""
    LOST = "lost"
    """Its device is lost; what the fallback policy says serves."""


class Fallback(Enum):
    """What happens when the device of the wanted backend is lost."""

    CPU = "cpu"
    """The standby serves again, more slowly."""
    FAIL = "fail"
    """Every call fails with DEVICE_LOST and health says NOT_SERVING, so that another server takes over."""


@dataclass(frozen=True, slots=True)
class Status:
    """What runs, and why.

    Attributes:
        standing: of the wanted backend.
        wanted: what it is or will be called.
        serving: name of what runs batches now; "" when nothing does.
        finding: how it came to that: the gate's numbers, or the error.
    """

    standing: Standing
    wanted: str
    serving: str
    finding: str

    @property
    def name(self) -> str:
        """What serves, and what is wrong with that, in a line."""
        if self.standing is Standing.LIVE:
            return self.serving
        what = {Standing.PREPARING: "preparing", Standing.REFUSED: "refused", Standing.LOST: "lost"}[self.standing]
        return f"{self.serving or 'nothing'} ({self.wanted} {what})"

    @property
    def why(self) -> str:
        """Why that serves, in words."""
        return {
            Standing.PREPARING: f"serves while {self.wanted} is prepared",
            Standing.LIVE: f"named in the settings; {self.finding}",
            Standing.REFUSED: f"{self.wanted} is refused: {self.finding}",
            Standing.LOST: f"{self.wanted} was lost: {self.finding}",
        }[self.standing]


Prepare: TypeAlias = Callable[[threading.Event], tuple[Backend, str]]
"""Opens the wanted backend and holds it to its reference: the backend and what was found, or a FacestreamError.

It ends early, with any error, when the event is set: then nobody wants the backend any more."""

_QUICK_S = 1.0
"""For how long nobody need be told why closing takes its time."""


class StandbyBackend:
    """Serves on a standby while `prepare` runs in a thread of its own, then on what it opened.

    A batch that began on one backend ends on it; none is lost or run twice by the swap. When the wanted backend fails
    with DEVICE_LOST, the policy decides: CPU runs the batch, and all later ones, on the standby.

    Args:
        standby: serves meanwhile; closed with this, or after the swap when the policy is FAIL.
        prepare: opens the wanted backend.
        wanted: what it will be called.
        fallback: what to do when its device is lost.
        told: called at every change, and once at the start, while others wait; it must not call back.
    """

    def __init__(
        self,
        standby: Backend,
        prepare: Prepare,
        *,
        wanted: str,
        fallback: Fallback,
        told: Callable[[Status], None] = lambda _status: None,
    ) -> None:
        self._standby = standby
        self._primary: Backend | None = None
        self._fallback = fallback
        self._told = told
        self._changed = threading.Condition()
        self._on_standby = 0
        self._open = True
        self._unwanted = threading.Event()
        self._status = Status(Standing.PREPARING, wanted, standby.name, "")
        told(self._status)
        self._thread = threading.Thread(target=self._prepare, args=(prepare,), name="prepare", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """What serves now, and what is wrong with that."""
        return self._status.name

    @property
    def status(self) -> Status:
        """What runs, and why."""
        return self._status

    def wait(self, timeout: float | None = None) -> Status:
        """Waits until the wanted backend serves or was refused, at most `timeout` seconds."""
        self._thread.join(timeout)
        return self._status

    def run(self, batch: Batch) -> tuple[Tensor, ...]:
        """As `Backend.run`, on whatever serves.

        Raises:
            InferenceError: as `Backend.run`; DEVICE_LOST when the policy is FAIL.
        """
        check_batch(batch)
        try:
            return self._run(batch)
        except InferenceError as error:
            if error.reason != "DEVICE_LOST" or not self._lose(error):
                raise
        return self._run(batch)

    def call_off(self) -> None:
        """Whatever is being prepared isn't wanted any more; `close` waits until it has ended."""
        self._unwanted.set()

    def close(self) -> None:
        """Closes both. May be called again.

        What is being prepared is called off first and waited for: a native library that calls back into Python
        while the interpreter goes down ends the process.
        """
        with self._changed:
            first, self._open = self._open, False
            primary, self._primary = self._primary, None
        self.call_off()
        self._await_end()
        if first:
            self._standby.close()
        if primary is not None:
            primary.close()

    def _await_end(self) -> None:
        """Of what is being prepared."""
        self._thread.join(_QUICK_S)
        if self._thread.is_alive():
            _log.info("%s is still being prepared, which has to come to an end first", self._status.wanted)
            self._thread.join()

    def _run(self, batch: Batch) -> tuple[Tensor, ...]:
        """On whatever serves; a GPU cuts and fills batches up by itself, a processor wants its few lengths."""
        with self._taken() as backend:
            return run_in_buckets(backend, batch) if backend is self._standby else backend.run(batch)

    @contextmanager
    def _taken(self) -> Iterator[Backend]:
        """What serves now. Batches on the standby are counted: it may not be closed under them."""
        with self._changed:
            backend = self._serving()
            standing_by = backend is self._standby
            self._on_standby += standing_by
        try:
            yield backend
        finally:
            with self._changed:
                self._on_standby -= standing_by
                self._changed.notify_all()

    def _serving(self) -> Backend:
        if not self._open:
            raise closed(self.name)
        if self._status.standing is Standing.LIVE:
            assert self._primary is not None
            return self._primary
        if self._status.standing is Standing.LOST and self._fallback is Fallback.FAIL:
            raise InferenceError("DEVICE_LOST", self._status.finding)
        return self._standby

    def _prepare(self, prepare: Prepare) -> None:
        try:
            primary, finding = prepare(self._unwanted)
        except Exception as error:  # noqa: BLE001 - a bug in the making of a backend must not end the serving
            self._refuse(error)
        else:
            self._go_live(primary, finding)

    def _refuse(self, error: Exception) -> None:
        if self._unwanted.is_set():
            _log.info("%s was called off", self._status.wanted)
        elif isinstance(error, FacestreamError):
            _log.error("%s is refused: %s", self._status.wanted, error.message, extra={"reason": error.reason})
            self._change(Standing.REFUSED, self._standby.name, error.message)
        else:
            _log.error("%s cannot be prepared", self._status.wanted, exc_info=error)
            self._change(Standing.REFUSED, self._standby.name, f"{type(error).__name__}: {error}")

    def _go_live(self, primary: Backend, finding: str) -> None:
        with self._changed:
            if self._open:
                self._primary = primary
                self._change(Standing.LIVE, primary.name, finding)
        if self._primary is not primary:
            primary.close()
            return
        _log.info("%s serves in place of %s", primary.name, self._standby.name, extra={"finding": finding})
        if self._fallback is Fallback.FAIL:
            with self._changed:
                self._changed.wait_for(lambda: self._on_standby == 0)
            self._standby.close()

    def _lose(self, error: InferenceError) -> bool:
        """The device is lost; answers whether the standby serves now."""
        standby = self._fallback is Fallback.CPU
        with self._changed:
            if self._status.standing is Standing.LIVE:
                serving = self._standby.name if standby else ""
                _log.error("%s is lost: %s", self._status.serving, error.message, extra={"serving": serving})
                self._change(Standing.LOST, serving, error.message)
        return standby

    def _change(self, standing: Standing, serving: str, finding: str) -> None:
        with self._changed:
            self._status = Status(standing, self._status.wanted, serving, finding)
            self._told(self._status)
