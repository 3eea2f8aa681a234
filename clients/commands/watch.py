"""Streams a source to a server and shows what comes back."""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from rich.progress import Progress, TaskID

from clients.client import Client
from clients.errors import ClientError
from clients.faces import Face
from clients.frames import Failed, FrameAnswer, Image, Recognised, Tally
from clients.lettering import Lettering, default_lettering
from clients.options import StreamOptions
from clients.output import SIGHTING_COLUMNS, Clock, frame_json, sighting_rows
from clients.render import draw_faces
from clients.session import RecognitionStream
from clients.sources.source import PacketSource, Source
from clients.summary import Summary, names_in
from clients.terminal import Terminal
from clients.text import clipped, printable
from clients.video import VideoWriter
from clients.window import Window

_DESCRIPTION = 60
"""Letters of the people in view beside the progress bar."""

_LATENCIES = 10_000
"""The latest answers that count for the latency: a camera may run for months."""


class StreamOutput(StrEnum):
    """What goes to standard output: a table at the end, or a line of JSON for every frame."""

    TABLE = "table"
    JSONL = "jsonl"


@dataclass(frozen=True, slots=True)
class Display:
    """What to show.

    Attributes:
        output: on standard output.
        save: where the annotated video goes; None for nowhere.
        window: to show frames in; None for none.
    """

    output: StreamOutput
    save: Path | None
    window: Window | None


async def watch(client: Client, source: Source | PacketSource, options: StreamOptions, display: Display) -> None:
    """Streams until the source ends or the user interrupts, and prints who was seen when.

    Raises:
        ClientError: the stream ended early, nothing could be saved, or not one frame was recognised. What was seen
            before is printed all the same.
    """
    terminal = Terminal()
    view = View(terminal, display.output, window=display.window)
    stream = client.stream(source, options)
    failure = await _shown(stream, source, display, view)
    if failure is None or stream.tally.read:
        view.conclude(stream.tally, Clock.WALL if source.live else Clock.POSITION)
    if stream.advice is not None:
        terminal.note(f"the server advised {stream.advice}{_unheeded(source, options)}")
    if failure is not None:
        raise failure
    if stream.tally.read and not stream.tally.recognised:
        raise ClientError(f"not one of {stream.tally.read} frames was recognised", view.last_failure)


async def _shown(
    stream: RecognitionStream, source: Source | PacketSource, display: Display, view: View
) -> ClientError | None:
    """Does with every answer of a stream what the user asked for; returns the first error that ended it early."""
    failure: ClientError | None = None
    try:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(stream)
            if display.save is not None:
                view.writer = stack.enter_context(VideoWriter(display.save, fps=source.fps))
            stack.enter_context(_stopped_by_signals(stream, view.terminal))
            shown = display.output is StreamOutput.TABLE or not view.terminal.out.is_terminal
            view.bar = stack.enter_context(view.terminal.progress(shown=shown))
            view.task = view.bar.add_task("", total=source.expected or None)
            try:
                async for answer in stream:
                    if not await view.take(answer, stream.tally):
                        stream.stop()
            except ClientError as error:
                failure = error
    except ClientError as error:  # a video that cannot be completed
        failure = failure or error
    return failure


@dataclass(slots=True)
class View:
    """Does with every answer what the user asked for."""

    terminal: Terminal
    output: StreamOutput
    window: Window | None = None
    writer: VideoWriter | None = None
    bar: Progress | None = None
    task: TaskID | None = None
    last_failure: str = ""
    _summary: Summary = field(default_factory=Summary)
    _lettering: Lettering = field(default_factory=default_lettering)
    _latencies_ns: deque[int] = field(default_factory=lambda: deque(maxlen=_LATENCIES))

    async def take(self, answer: FrameAnswer, tally: Tally) -> bool:
        """Shows, saves and counts one answer; False when the user closed the window."""
        self._summary.add(answer)
        if self.output is StreamOutput.JSONL:
            self.terminal.json(frame_json(answer))
        going_on = True
        match answer.outcome:
            case Recognised() as recognised:
                self._latencies_ns.append(recognised.latency_ns)
                going_on = await self._draw(answer, recognised)
            case Failed(message=message):
                self.last_failure = message
        self._advance(answer, tally)
        return going_on

    async def _draw(self, answer: FrameAnswer, recognised: Recognised) -> bool:
        if recognised.image is None or (self.window is None and self.writer is None):
            return True
        image = await asyncio.to_thread(self._annotate, answer, recognised.image, recognised.faces)
        return self.window is None or self.window.show(image)

    def _annotate(self, answer: FrameAnswer, image: Image, faces: Sequence[Face]) -> Image:
        image = draw_faces(image, faces, self._lettering)
        if self.writer is not None:
            self.writer.write(image, at_ns=answer.stamp.position_ns)
        return image

    def _advance(self, answer: FrameAnswer, tally: Tally) -> None:
        if self.bar is None or self.task is None:
            return
        if isinstance(answer.outcome, Recognised):
            names = clipped(printable(", ".join(names_in(answer.outcome.faces))), _DESCRIPTION)
            self.bar.update(self.task, description=names)
        self.bar.update(self.task, completed=tally.settled)

    def conclude(self, tally: Tally, clock: Clock) -> None:
        """Prints who was seen when, and what became of the frames."""
        rows = sighting_rows(self._summary.sightings(), clock)
        if rows:
            self.terminal.table(SIGHTING_COLUMNS, rows, to_stderr=self.output is StreamOutput.JSONL)
        else:
            self.terminal.note("nobody was seen")
        self.terminal.note(_account(tally) + _latency(self._latencies_ns))


def _unheeded(source: Source | PacketSource, options: StreamOptions) -> str:
    if not options.obey_advice:
        return " (ignored)"
    return " (packets keep to the first only)" if isinstance(source, PacketSource) else ""


def _account(tally: Tally) -> str:
    parts = (
        (tally.recognised, "recognised"),
        (tally.dropped_by_client, "dropped before sending"),
        (tally.dropped_by_server, "dropped by the server"),
        (tally.failed, "failed"),
        (tally.lost, "lost with a connection"),
    )
    told = ", ".join(f"{count} {what}" for count, what in parts if count or what == "recognised")
    return f"{tally.read} frames: {told}"


def _latency(latencies_ns: Iterable[int]) -> str:
    ordered = sorted(latencies_ns)
    if not ordered:
        return ""
    median, late = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)]
    return f"; answered within {median / 1e6:.0f} ms (median), {late / 1e6:.0f} ms (95 %)"


@contextmanager
def _stopped_by_signals(stream: RecognitionStream, terminal: Terminal) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the stream in order; a second Ctrl-C ends the command."""
    loop = asyncio.get_running_loop()
    command = asyncio.current_task()
    assert command is not None
    signals = (signal.SIGINT, signal.SIGTERM)

    def stop() -> None:
        # First of all, so that the next one is not lost. Through the loop as well: a KeyboardInterrupt that is raised
        # inside a callback of gRPC's native code is swallowed there.
        for number in signals:
            loop.add_signal_handler(number, interrupt)
        terminal.note("stopping")
        stream.stop()

    def interrupt() -> None:
        for number in signals:
            loop.remove_signal_handler(number)
        command.cancel()

    try:
        for number in signals:
            loop.add_signal_handler(number, stop)
    except (NotImplementedError, RuntimeError, ValueError):
        # Windows, or not the main thread: Ctrl-C ends the command without a summary.
        pass
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
