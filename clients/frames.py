"""Frames on their way to the server, and what became of each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from clients.faces import Face

Image: TypeAlias = NDArray[np.uint8]
"""(H, W, 3) uint8, BGR."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Which frame it is, and when.

    Attributes:
        sequence: the frame's number in its source, from 1 upwards; frames that `fps` leaves out are counted too.
        captured_at_ns: wall clock in nanoseconds since the epoch when the frame was taken.
        position_ns: time since the source's first frame, in nanoseconds.
    """

    sequence: int
    captured_at_ns: int
    position_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a source."""

    stamp: Stamp
    image: Image

    @property
    def due_ns(self) -> int:
        """When it comes, nanoseconds since the source's first frame."""
        return self.stamp.position_ns

    @property
    def key(self) -> bool:
        """Whether it stands for itself, as every picture does."""
        return True


class PacketCodec(StrEnum):
    """How a packet is encoded."""

    H264 = "h264"
    HEVC = "hevc"


@dataclass(frozen=True, slots=True, eq=False)
class PacketFrame:
    """One picture of a source as the source encoded it; it builds on those before it, unless it is a key frame.

    Attributes:
        stamp: `sequence` counts packets, `position_ns` is when the picture is shown.
        codec: of the packet.
        data: in annex B form; a key frame has its parameter sets in front of it.
        key: whether it is a key frame.
        due_ns: when it comes, nanoseconds since the source's first packet: with B-frames not when it is shown.
    """

    stamp: Stamp
    codec: PacketCodec
    data: bytes
    key: bool
    due_ns: int


AnyFrame: TypeAlias = Frame | PacketFrame


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the server had a frame, nanoseconds by stage; `total` is from its arrival to its answer."""

    queue_ns: int
    decode_ns: int
    detect_ns: int
    track_ns: int
    align_ns: int
    embed_ns: int
    match_ns: int
    total_ns: int


@dataclass(frozen=True, slots=True)
class Recognition:
    """The faces of one picture.

    Attributes:
        faces: the largest first; boxes in pixels of the picture that was sent.
        width: of that picture.
        height: of that picture.
        timing: where the server's time went.
        gallery_revision: the gallery's revision that the answer rests on.
    """

    faces: tuple[Face, ...]
    width: int
    height: int
    timing: Timing
    gallery_revision: int


@dataclass(frozen=True, slots=True, eq=False)
class Recognised:
    """A frame that the server worked on.

    Attributes:
        image: the frame's picture as the source gave it; None when the source gave packets.
        faces: the largest first; boxes in pixels of the source's picture, whatever size was sent.
        timing: where the server's time went.
        gallery_revision: the gallery's revision that the answer rests on.
        latency_ns: from `captured_at_ns` to the arrival of the answer, by this machine's clock.
    """

    image: Image | None
    faces: tuple[Face, ...]
    timing: Timing
    gallery_revision: int
    latency_ns: int


class Side(StrEnum):
    """Who dropped or refused a frame."""

    SERVER = "server"
    CLIENT = "client"


class DropReason(StrEnum):
    """Why a frame was not worked on."""

    UNSPECIFIED = "unspecified"
    SUPERSEDED = "superseded"
    TOO_OLD = "too_old"
    DRAINING = "draining"
    NOT_CONNECTED = "not_connected"
    CLOSING = "closing"


@dataclass(frozen=True, slots=True)
class Dropped:
    """A frame that was left out on purpose: there was a newer one, or no time."""

    by: Side
    reason: DropReason


@dataclass(frozen=True, slots=True)
class Failed:
    """A frame that could not be worked on; the stream goes on.

    Attributes:
        by: who found the fault.
        reason: UPPER_SNAKE_CASE name of the cause, for programs.
        message: what was wrong and what to do next, for people.
    """

    by: Side
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A frame that was sent and never answered: the connection ended first."""

    message: str


Outcome: TypeAlias = Recognised | Dropped | Failed | Lost


@dataclass(frozen=True, slots=True)
class FrameAnswer:
    """What became of one frame."""

    stamp: Stamp
    outcome: Outcome


@dataclass(slots=True)
class Tally:
    """How many frames were read, and what became of them.

    After a stream has ended, `read` is the sum of the others.
    """

    read: int = 0
    recognised: int = 0
    dropped_by_server: int = 0
    dropped_by_client: int = 0
    failed: int = 0
    lost: int = 0

    @property
    def settled(self) -> int:
        """Frames whose outcome is known."""
        return self.recognised + self.dropped_by_server + self.dropped_by_client + self.failed + self.lost

    def settle(self, outcome: Outcome) -> None:
        """Counts the outcome of one frame."""
        match outcome:
            case Recognised():
                self.recognised += 1
            case Dropped(by=Side.SERVER):
                self.dropped_by_server += 1
            case Dropped():
                self.dropped_by_client += 1
            case Failed():
                self.failed += 1
            case Lost():
                self.lost += 1
