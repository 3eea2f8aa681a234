"""The books of a stream: every frame that was read gets one answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from clients.answers import AnswerQueue
from clients.frames import (
    AnyFrame,
    Dropped,
    DropReason,
    Failed,
    Frame,
    FrameAnswer,
    Lost,
    Recognised,
    Recognition,
    Side,
    Tally,
)


@dataclass(slots=True)
class Ledger:
    """Turns what became of frames into answers, and counts.

    Attributes:
        answers: where answers go.
        clock: wall clock, nanoseconds since the epoch.
        tally: what was counted.
        displaced_by: why a frame that has no place in the slot any more is dropped, at this moment.
    """

    answers: AnswerQueue
    clock: Callable[[], int]
    tally: Tally = field(default_factory=Tally)
    displaced_by: DropReason = DropReason.NOT_CONNECTED

    def came(self) -> None:
        """A frame was read."""
        self.tally.read += 1

    def displaced(self, frame: AnyFrame) -> None:
        """A frame lost its place in the slot, or got none."""
        self.settle(frame, Dropped(Side.CLIENT, self.displaced_by))

    async def room(self) -> None:
        """Waits until another answer is welcome."""
        await self.answers.room()

    def settle(self, frame: AnyFrame, said: Recognition | Dropped | Failed | Lost) -> None:
        """Says what became of a frame."""
        outcome = self._recognised(frame, said) if isinstance(said, Recognition) else said
        self.tally.settle(outcome)
        self.answers.put(FrameAnswer(frame.stamp, outcome))

    def _recognised(self, frame: AnyFrame, said: Recognition) -> Recognised:
        latency_ns = self.clock() - frame.stamp.captured_at_ns
        if not isinstance(frame, Frame):  # a packet goes as it is
            return Recognised(None, said.faces, said.timing, said.gallery_revision, latency_ns)
        height, width = frame.image.shape[:2]
        if said.width > 0 and said.height > 0 and (said.width, said.height) != (width, height):
            x, y = width / said.width, height / said.height
            faces = tuple(face.scaled(x, y) for face in said.faces)
        else:
            faces = said.faces
        return Recognised(frame.image, faces, said.timing, said.gallery_revision, latency_ns)
