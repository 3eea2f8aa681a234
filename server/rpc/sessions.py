"""What a stream needs of the pipeline: frames go in, in their order, and recognitions come out of worker threads."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

from server.domain import EncodedImage
from server.pipeline.allowance import CameraAllowance
from server.pipeline.followed import TrackObserver
from server.pipeline.recognise import Recogniser, Recognition
from server.pipeline.session import CameraName, CameraSession, SessionRule, Ticket
from server.rpc.threads import run_to_its_end


class FrameSession(Protocol):
    """One camera's frames."""

    def ticket(self, captured_ns: int, arrived_ns: int, now_ns: int) -> Ticket:
        """As `CameraSession.ticket`."""
        ...

    async def look(self, ticket: Ticket, image: EncodedImage) -> Recognition:
        """As `CameraSession.look`."""
        ...

    def close(self) -> None:
        """No frame will come; returns at once."""
        ...


@dataclass(frozen=True, slots=True)
class FollowingSession:
    """Faces are followed from frame to frame."""

    session: CameraSession
    executor: Executor

    def ticket(self, captured_ns: int, arrived_ns: int, now_ns: int) -> Ticket:
        """As `CameraSession.ticket`."""
        return self.session.ticket(captured_ns, arrived_ns, now_ns)

    async def look(self, ticket: Ticket, image: EncodedImage) -> Recognition:
        """As `CameraSession.look`."""
        try:
            return await run_to_its_end(self.executor, lambda: self.session.look(ticket, image))
        finally:
            self.session.give_back(ticket)

    def close(self) -> None:
        """Ends the tracks in a worker thread, behind the frames that are in work."""
        self.executor.submit(self.session.close)


@dataclass(frozen=True, slots=True)
class SingleFrames:
    """Every frame stands for itself, and every face of it is embedded."""

    recogniser: Recogniser
    camera: CameraName
    executor: Executor

    def ticket(self, captured_ns: int, arrived_ns: int, now_ns: int) -> Ticket:
        """Frames have no order here."""
        return Ticket(0, arrived_ns, min(captured_ns, now_ns))

    async def look(self, ticket: Ticket, image: EncodedImage) -> Recognition:
        """As `Recogniser.recognise`."""
        del ticket
        return await run_to_its_end(
            self.executor, lambda: self.recogniser.recognise(image, self.camera.gallery, far=self.camera.far)
        )

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """Opens sessions.

    Attributes:
        recogniser: models, gallery and rules.
        rule: how frames are worked on; None follows nobody.
        observer: is told of tracks.
        executor: runs the work.
    """

    recogniser: Recogniser
    rule: SessionRule | None
    observer: TrackObserver
    executor: Executor

    def open(self, camera: CameraName, allowance: CameraAllowance) -> FrameSession:
        """A session for a camera's stream, with its allowance of close looks."""
        if self.rule is None:
            return SingleFrames(self.recogniser, camera, self.executor)
        session = CameraSession(self.recogniser, self.rule, allowance, self.observer, camera)
        return FollowingSession(session, self.executor)
