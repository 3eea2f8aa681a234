"""A camera that is lost comes back."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Generic, TypeVar

from clients.backoff import Backoff
from clients.errors import SourceError
from clients.frames import Frame, PacketFrame
from clients.sources.source import PacketSource, Reading

_log = logging.getLogger(__name__)


FrameT = TypeVar("FrameT", Frame, PacketFrame)


class Reopening(Generic[FrameT]):
    """A live source that is opened again whenever it ends or fails. Numbers and positions go on.

    The first opening is not repeated: a wrong address is an error at once.

    Args:
        open_source: opens the source.
        backoff: how long to wait between attempts.

    Raises:
        SourceError: the first opening failed.
    """

    live = True
    expected = 0

    def __init__(self, open_source: Callable[[], Reading[FrameT]], *, backoff: Backoff | None = None) -> None:
        self._open_source: Callable[[], Reading[FrameT]] = open_source
        self._backoff = backoff or Backoff()
        self._closed = threading.Event()
        self._source: Reading[FrameT] = open_source()
        self.description: str = self._source.description
        self.fps: float = self._source.fps

    def __iter__(self) -> Iterator[FrameT]:
        last, first_ns = 0, 0
        while not self._closed.is_set():
            try:
                before = last
                for frame in self._source:
                    last = before + frame.stamp.sequence
                    first_ns = first_ns or frame.stamp.captured_at_ns
                    position_ns = max(0, frame.stamp.captured_at_ns - first_ns)
                    yield replace(frame, stamp=replace(frame.stamp, sequence=last, position_ns=position_ns))
                    self._backoff.reset()
            except SourceError as error:
                _log.warning("%s; it is opened again", error.message)
            self._source.close()
            self._reopen()

    def _reopen(self) -> None:
        """Tries until the source is open or somebody closes this."""
        while not self._closed.wait(wait_s := self._backoff.next_s()):
            try:
                self._source = self._open_source()
            except SourceError as error:
                _log.warning("%s; waited %.1f s", error.message, wait_s)
            else:
                return

    def interrupt(self) -> None:
        """Ends the waiting between attempts."""
        self._closed.set()
        self._source.interrupt()

    def close(self) -> None:
        """Closes the source."""
        self._closed.set()
        self._source.close()


class ReopeningPackets(Reopening[PacketFrame]):
    """A live source of packets that is opened again whenever it ends or fails, each time at a key frame."""

    def __init__(self, open_source: Callable[[], PacketSource], *, backoff: Backoff | None = None) -> None:
        self.held_back = 0

        def opened() -> PacketSource:
            source = open_source()
            self.held_back = source.held_back
            return source

        super().__init__(opened, backoff=backoff)
