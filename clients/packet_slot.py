"""Where packets wait for their turn to be sent. They build on one another, so they are left out by whole groups."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from clients.frames import AnyFrame
from clients.slot import Delivery

_BEHIND = 8
"""When so many packets wait and a key frame comes, sending begins anew with it: fewer are the network's unevenness."""

_MOST = 512
"""Packets that wait at most, for cameras with key frames far apart."""


class PacketSlot:
    """A waiting place like `FrameSlot`, which drops packets only from some point up to the next key frame."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._packets: deque[AnyFrame] = deque()
        self._skipping = False
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def closed(self) -> bool:
        """True when no further packet gets in."""
        return self._closed

    def __len__(self) -> int:
        return len(self._packets)

    async def put(self, packet: AnyFrame) -> list[AnyFrame]:
        """Puts a packet in; returns those that stay outside.

        With EVERY it waits for room; when that is cancelled the packet is not in the slot.
        """
        while self._delivery is Delivery.EVERY and self._packets and not self._closed:
            await self._changed.wait()
        if self._closed or (self._skipping and not packet.key):
            return [packet]
        gone: list[AnyFrame] = []
        if len(self._packets) >= (_BEHIND if packet.key else _MOST):
            gone = self.clear()
            self._skipping = not packet.key
            if self._skipping:
                return [*gone, packet]
        self._skipping = False
        self._packets.append(packet)
        self._notify()
        return gone

    def put_back(self, packets: Sequence[AnyFrame]) -> list[AnyFrame]:
        """Takes none back: the decoder that they were for is gone. Returns all, and what waits up to a key frame."""
        return [*packets, *self.skip()]

    def skip(self) -> list[AnyFrame]:
        """Goes on with the next key frame; returns the packets before it that waited."""
        gone: list[AnyFrame] = []
        while self._packets and not self._packets[0].key:
            gone.append(self._packets.popleft())
        self._skipping = not self._packets
        self._notify()
        return gone

    async def filled(self) -> bool:
        """Waits until there is a packet to take; False when the slot is closed and empty."""
        while not self._packets and not self._closed:
            await self._changed.wait()
        return bool(self._packets)

    async def take(self) -> AnyFrame | None:
        """The next packet, waited for; None when the slot is closed and empty."""
        if not await self.filled():
            return None
        packet = self._packets.popleft()
        self._notify()
        return packet

    def close(self) -> None:
        """Lets no further packet in. Those that wait can still be taken."""
        self._closed = True
        self._notify()

    def clear(self) -> list[AnyFrame]:
        """Takes out all that waits."""
        packets = list(self._packets)
        self._packets.clear()
        self._notify()
        return packets

    def _notify(self) -> None:
        # Everyone who waits holds the old event, looks again, and waits for the new one if need be.
        self._changed.set()
        self._changed = asyncio.Event()
