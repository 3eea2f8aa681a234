"""Pictures on the device: each uploaded once, as bytes, whatever is cut from it and for how many networks."""

from __future__ import annotations

import weakref
from collections import OrderedDict, deque
from dataclasses import dataclass

import numpy as np

from server.domain import Image
from server.inference.gpu.device import Device, DeviceBuffer, DeviceError, Event, HostBuffer, Stream, Trouble

LIMIT = 2**29
"""Bytes of pictures that the device keeps; more only while a single batch needs more. 194 frames of 1280x720."""

_PIECE = 2**16
"""Buffers come in multiples of this, so that pictures of nearly one size share them, bytes."""

_ROOMY = 2
"""A free buffer is taken for a picture down to its size over this."""


@dataclass(slots=True, eq=False)
class _Place:
    """Where a picture lies: page-locked memory, its counterpart on the device, and a mark behind its upload."""

    host: HostBuffer
    device: DeviceBuffer
    uploaded: Event

    @property
    def nbytes(self) -> int:
        return self.device.nbytes


@dataclass(slots=True, eq=False)
class Resident:
    """A picture on the device.

    Attributes:
        address: where its pixels begin, (height, width, 3) uint8 BGR without padding.
        size: (width, height), pixels.
    """

    address: int
    size: tuple[int, int]
    _picture: weakref.ref[Image]
    _place: _Place
    _leases: int = 0


class ResidentFrames:
    """The pictures on a device. Only the thread that owns it calls, except for `holds`.

    A picture is known by its identity. It stays while the host keeps it and there is room, and goes when the host lets
    go of it, which it does when the frame is answered, or when others need the room; then it would be uploaded again.

    Args:
        device: open in this thread.
        limit: bytes that are kept; a batch whose pictures need more gets more.
    """

    def __init__(self, device: Device, *, limit: int = LIMIT) -> None:
        self._device = device
        self._limit = limit
        self._stream = device.stream()
        self._residents: OrderedDict[int, Resident] = OrderedDict()
        self._orphans: list[Resident] = []
        self._free: list[_Place] = []
        self._gone: deque[int] = deque()
        self.uploads = 0
        self.uploaded_bytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the device that pictures take, those of free buffers included."""
        kept = (one._place.nbytes for one in (*self._residents.values(), *self._orphans))
        return sum(kept) + sum(one.nbytes for one in self._free)

    def holds(self, picture: Image) -> bool:
        """Whether the picture lies on the device now; any thread may ask."""
        resident = self._residents.get(id(picture))
        return resident is not None and resident._picture() is picture

    def lease(self, picture: Image, stream: Stream) -> Resident:
        """The picture on the device, for what is put into the stream from now on; `release` it when that is done.

        Raises:
            DeviceError: OUT_OF_MEMORY.
        """
        self._bury()
        resident = self._residents.get(id(picture))
        if resident is None:
            resident = self._upload(picture)
        self._residents.move_to_end(id(picture))
        resident._leases += 1
        stream.after(resident._place.uploaded)
        return resident

    def release(self, resident: Resident) -> None:
        """What was put into the stream is done, or was given up and the stream is empty."""
        resident._leases -= 1
        if not resident._leases and resident in self._orphans:
            self._orphans.remove(resident)
            self._free.append(resident._place)

    def shrink(self) -> None:
        """Gives back what no batch on its way needs."""
        self._bury()
        for key in [key for key, one in self._residents.items() if not one._leases]:
            self._free.append(self._residents.pop(key)._place)
        while self._free:
            self._give_back(self._free.pop())

    def close(self) -> None:
        """As `shrink`, with nothing on its way and nothing more to come."""
        self.shrink()
        self._stream.free()

    def _upload(self, picture: Image) -> Resident:
        place = self._room(picture.nbytes)
        try:
            np.copyto(place.host.array[: picture.nbytes].reshape(picture.shape), picture)
            self._device.copy_in(place.device, place.host, picture.nbytes, self._stream)
            place.uploaded.record(self._stream)
        except BaseException:
            self._free.append(place)
            raise
        self.uploads += 1
        self.uploaded_bytes += picture.nbytes
        key, gone = id(picture), self._gone
        # Called by whichever thread lets go of the picture, maybe in the middle of anything: it only leaves a note.
        known = weakref.ref(picture, lambda _reference: gone.append(key))
        height, width = picture.shape[:2]
        resident = self._residents[key] = Resident(place.device.address, (width, height), known, place)
        return resident

    def _bury(self) -> None:
        """Frees the places of pictures that the host has let go of."""
        while self._gone:
            key = self._gone.popleft()
            resident = self._residents.get(key)
            if resident is None or resident._picture() is not None:
                continue
            del self._residents[key]  # another picture may get its identity
            if resident._leases:
                self._orphans.append(resident)
            else:
                self._free.append(resident._place)

    def _room(self, nbytes: int) -> _Place:
        """A place for a picture: a free one, else a new one, for which others may have to go."""
        fitting = [one for one in self._free if nbytes <= one.nbytes <= max(_ROOMY * nbytes, _PIECE)]
        if fitting:
            place = min(fitting, key=lambda one: one.nbytes)
            self._free.remove(place)
            place.uploaded.wait()  # an upload that nobody waited for may still read the page-locked memory
            return place
        wanted = -(-nbytes // _PIECE) * _PIECE
        self._make_room(wanted)
        try:
            return self._new(wanted)
        except DeviceError as error:
            if error.trouble is not Trouble.OUT_OF_MEMORY:
                raise
        self.shrink()
        return self._new(wanted)

    def _make_room(self, wanted: int) -> None:
        """Gives back free places, then those of pictures unused for longest, until the limit holds or none is idle."""
        while self.nbytes + wanted > self._limit:
            if self._free:
                self._give_back(self._free.pop(0))
                continue
            idle = next((key for key, one in self._residents.items() if not one._leases), None)
            if idle is None:
                return
            self._give_back(self._residents.pop(idle)._place)

    def _new(self, nbytes: int) -> _Place:
        device = self._device.memory(nbytes)
        try:
            place = _Place(self._device.pinned(nbytes), device, self._device.event())
        except BaseException:
            device.free()
            raise
        place.uploaded.record(self._stream)
        return place

    def _give_back(self, place: _Place) -> None:
        place.uploaded.wait()
        place.uploaded.free()
        place.host.free()
        place.device.free()
