"""Frames of one camera are worked on side by side, but some steps must go in the frames' order."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from server.errors import UnavailableError


class Turns:
    """Numbers its users and lets them take their turn in the order of their numbers.

    Whoever has a number must finish it, whether or not it took its turn; a number that is never finished holds up those
    behind it until `close`. Safe to call from many threads.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._issued = 0
        self._next = 0
        self._finished: set[int] = set()
        self._closed = False

    def issue(self) -> int:
        """The next number, from 0."""
        with self._changed:
            self._issued += 1
            return self._issued - 1

    @contextmanager
    def turn(self, number: int) -> Iterator[None]:
        """Waits until all earlier numbers are finished; nobody else has the turn meanwhile.

        Raises:
            UnavailableError: STREAM_CLOSED when the turns were closed before this one came.
        """
        with self._changed:
            while self._next < number and not self._closed:
                self._changed.wait()
            if self._closed:
                raise UnavailableError("STREAM_CLOSED", "the stream was closed while this frame waited for its turn")
        yield

    def finish(self, number: int) -> None:
        """Lets the next number have its turn; harmless when it was finished before."""
        with self._changed:
            if number < self._next:
                return
            self._finished.add(number)
            while self._next in self._finished:
                self._finished.remove(self._next)
                self._next += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Sends everybody away who still waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
