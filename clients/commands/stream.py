"""From what a user asks of facestream-camera to a stream: checked, opened, watched."""

from __future__ import annotations

import asyncio
import math
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from clients.channel import checked_target
from clients.client import Client
from clients.commands.watch import Display, StreamOutput, watch
from clients.encode import JpegEncoding
from clients.errors import UsageError
from clients.options import Patience, StreamOptions
from clients.slot import Delivery
from clients.sources.open import open_packets, open_source
from clients.sources.source import PacketSource, Source
from clients.video import checked_video_path
from clients.window import Window

_FILE_GIVE_UP_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOrder:
    """What a user asked for, each as the option of that name says it.

    Attributes:
        quality: JPEG quality; None for what the server advises.
        save: where the annotated video goes; None for nowhere.
        give_up_after: seconds; None for 60 with files and never with cameras.
        max_reconnects: attempts in a row; None for no limit.
    """

    source: str
    server: str
    camera: str
    gallery: str
    fps: float
    quality: int | None
    max_width: int
    target_far: float
    every_frame: bool
    ignore_advice: bool
    forward: bool
    save: Path | None
    show: bool
    output: StreamOutput
    give_up_after: float | None
    max_reconnects: int | None


def carry_out(order: StreamOrder) -> None:
    """Streams until the source ends or the user interrupts, and shows who is in it.

    Raises:
        UsageError: the options don't go together, or one is out of range.
        ClientError: the source can't be read, the server can't be reached, or the stream ended early.
    """
    _check(order)
    encoding = JpegEncoding(quality=order.quality, max_width=order.max_width)
    with ExitStack() as stack:
        window = stack.enter_context(Window()) if order.show else None
        source = _opened(order)
        options = _options(order, encoding, live=source.live)
        asyncio.run(_watch(order.server, source, options, Display(order.output, order.save, window)))


def _check(order: StreamOrder) -> None:
    """Refuses what needs neither the source nor the server to be found wrong."""
    if order.forward:
        _refuse_what_needs_pictures(order)
    if order.save is not None:
        checked_video_path(order.save)
        if Path(order.source).exists() and order.save.exists() and order.save.samefile(order.source):
            raise UsageError("--save would overwrite the source", "choose another name")
    checked_target(order.server)


def _refuse_what_needs_pictures(order: StreamOrder) -> None:
    """With --forward there are packets only, which nobody here decodes."""
    needs_pictures = {
        "--save": order.save,
        "--show": order.show,
        "--quality": order.quality,
        "--max-width": order.max_width,
        "--fps": order.fps,
    }
    given = [flag for flag, value in needs_pictures.items() if value]
    if given:
        raise UsageError(
            f"{given[0]} needs pictures, and --forward sends packets that are not decoded here", "leave one of them out"
        )


def _opened(order: StreamOrder) -> Source | PacketSource:
    source = open_packets(order.source) if order.forward else open_source(order.source, fps=order.fps)
    if order.every_frame and source.live:
        source.close()
        raise UsageError(f"--every-frame is for files: {source.description} does not wait", "leave it out")
    return source


def _options(order: StreamOrder, encoding: JpegEncoding, *, live: bool) -> StreamOptions:
    patience = Patience(
        give_up_s=order.give_up_after if order.give_up_after is not None else math.inf if live else _FILE_GIVE_UP_S,
        max_reconnects=sys.maxsize if order.max_reconnects is None else order.max_reconnects,
    )
    return StreamOptions(
        camera=order.camera,
        gallery=order.gallery,
        target_far=order.target_far,
        delivery=Delivery.EVERY if order.every_frame else Delivery.NEWEST,
        encoding=encoding,
        obey_advice=not order.ignore_advice,
        patience=patience,
    )


async def _watch(server: str, source: Source | PacketSource, options: StreamOptions, display: Display) -> None:
    async with Client(server) as client:
        await watch(client, source, options, display)
