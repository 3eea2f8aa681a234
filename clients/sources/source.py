"""What a source is, and what all of them share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from clients.frames import Frame, PacketFrame

FrameT_co = TypeVar("FrameT_co", covariant=True)


class Reading(Protocol[FrameT_co]):
    """What is read one frame after the other. Reading blocks; one thread reads at a time.

    Attributes:
        description: for people, without passwords.
        live: True when the frames pass whether or not somebody takes them; those of a file wait.
        expected: how many frames there will be; 0 when that isn't known.
        fps: frames per second that the source gives, for players; 0 when that isn't known.
    """

    @property
    def description(self) -> str: ...  # noqa: D102 - above
    @property
    def live(self) -> bool: ...  # noqa: D102 - above
    @property
    def expected(self) -> int: ...  # noqa: D102 - above
    @property
    def fps(self) -> float: ...  # noqa: D102 - above

    def __iter__(self) -> Iterator[FrameT_co]:
        """The frames.

        Raises:
            SourceError: the source cannot be read, or cannot be read any further.
        """
        ...

    def interrupt(self) -> None:
        """Makes a reader that waits give up soon. The one method that another thread may call while one reads."""
        ...

    def close(self) -> None:
        """Lets go of files and devices. No frame comes afterwards."""
        ...


class Source(Reading[Frame], Protocol):
    """Pictures, one after the other."""


@runtime_checkable
class PacketSource(Reading[PacketFrame], Protocol):
    """Pictures as the source encoded them, in the order of decoding; the first is a key frame.

    Attributes:
        held_back: pictures that a decoder holds back before it shows the first, because of B-frames. May change when
            a camera is opened again.
    """

    @property
    def held_back(self) -> int: ...  # noqa: D102 - above


@dataclass(slots=True)
class Thinning:
    """Which frames to keep so that at most `fps` a second remain; 0 keeps all.

    A frame is kept when its turn has come by the source's own time, so the kept ones stay evenly spread whatever the
    source's rate.
    """

    fps: float = 0.0
    _next_ns: float = 0.0

    def keep(self, position_ns: int) -> bool:
        """Whether the frame at this position is kept; positions come in rising order."""
        if self.fps <= 0:
            return True
        interval_ns = 1e9 / self.fps
        # Timestamps are rounded: a frame that is early by less than a tenth of the interval is not too early.
        if position_ns < self._next_ns - interval_ns / 10:
            return False
        self._next_ns += interval_ns
        if self._next_ns <= position_ns:
            self._next_ns = position_ns + interval_ns
        return True


class Frames:
    """A source of frames that the program makes itself."""

    def __init__(self, frames: Iterable[Frame], *, live: bool = False, fps: float = 0.0, expected: int = 0) -> None:
        self._frames = frames
        self._closed = False
        self.description = "frames"
        self.live = live
        self.fps = fps
        self.expected = expected

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._frames:
            if self._closed:
                return
            yield frame

    def interrupt(self) -> None:
        """Ends the iteration at the next frame."""
        self._closed = True

    def close(self) -> None:
        """Ends the iteration at the next frame."""
        self._closed = True
