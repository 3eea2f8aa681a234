"""How much a stream may send: what its options say, tightened by the server's advice."""

from __future__ import annotations

import asyncio
import contextlib
import math

from clients.advice import Advice
from clients.encode import JpegEncoding
from clients.flight import Flight
from clients.options import StreamOptions
from clients.slot import Delivery
from clients.sources.source import PacketSource

_UNADVISED = 2
"""Frames under way while the server gives no advice: one is worked on, and one is there when it gets free."""

_SUPERSEDED = 4
"""Packets under way beyond that: one whose picture waits until the next one takes its place, and some on the way."""


class Allowance:
    """Keeps a flight's limit, the pace of sending and the encoding to what is allowed now.

    Args:
        options: of the stream.
        flight: whose limit is kept.
        packets: their source, when packets are sent; None when pictures are. Packets keep to the credits only: the
            server decodes each of them, whatever its picture is worth, so that a camera that waited for credits would
            have to leave out whole groups.

    Attributes:
        advice: the latest; None before the first. It stays here when the connection that it came over has ended.
        encoding: how the next frame is compressed.
    """

    def __init__(self, options: StreamOptions, flight: Flight, packets: PacketSource | None = None) -> None:
        self.advice: Advice | None = None
        self.encoding: JpegEncoding = options.encoding
        self._options = options
        self._flight = flight
        self._packets = packets
        self._obeyed: Advice | None = None
        self._interval_s = 0.0
        self._last_s = -math.inf
        self._changed = asyncio.Event()
        self._keep_to(None)

    @property
    def held_back(self) -> int:
        """Pictures that the server's decoder holds back while packets come."""
        return self._packets.held_back if self._packets is not None else 0

    def follow(self, advice: Advice) -> None:
        """Takes note of new advice, and keeps to it unless the options say otherwise."""
        self.advice = advice
        if self._options.obey_advice:
            self._keep_to(advice)

    def forget(self) -> None:
        """Another server may answer from now on: what was advised does not count for it."""
        self._keep_to(None)

    def release(self) -> None:
        """Ends the waiting for a turn: the stream is about to end, and nothing is left to send."""
        self._interval_s = 0.0
        self._notify()

    async def turn(self) -> None:
        """Waits until the next frame may be sent by the advised rate."""
        while (wait_s := self._last_s + self._interval_s - _now_s()) > 0:
            changed = self._changed
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await changed.wait()

    def used(self) -> None:
        """A frame is sent."""
        # From its turn rather than from now, within reason: being late once does not lower the rate.
        self._last_s = max(self._last_s + self._interval_s, _now_s() - self._interval_s / 2)
        if self._packets is not None:  # a camera that was opened again may hold back more pictures than before
            self._flight.limit = self._frames()

    def _keep_to(self, advice: Advice | None) -> None:
        self._obeyed = advice
        self._flight.limit = self._frames()
        rate = advice.frames_per_second if advice and self._packets is None else None
        self._interval_s = 1 / rate if rate else 0.0
        self.encoding = self._options.encoding.following(advice) if advice else self._options.encoding
        self._notify()

    def _notify(self) -> None:
        # Whoever waits holds the old event, looks again, and waits for the new one if need be.
        self._changed.set()
        self._changed = asyncio.Event()

    def _frames(self) -> int:
        every = self._options.delivery is Delivery.EVERY
        beyond = 0 if self._packets is None else self.held_back + (0 if every else _SUPERSEDED)
        return beyond + (1 if every else self._worked_on(self._obeyed))

    def _worked_on(self, advice: Advice | None) -> int:
        advised = advice.credits if advice else _UNADVISED
        wanted = self._options.max_in_flight
        if wanted is None:
            return advised
        return min(wanted, advised) if advice else wanted


def _now_s() -> float:
    return asyncio.get_running_loop().time()
