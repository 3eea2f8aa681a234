"""facestream-camera: streams a camera, video or folder of pictures to a server and shows who is in it."""

from __future__ import annotations

import asyncio
import math
import sys
from pathlib import Path
from typing import Annotated

import typer

from clients.channel import DEFAULT_TARGET, checked_target
from clients.client import Client
from clients.commands.run import run
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

_EPILOG = """\b
Examples:
  facestream-camera 0 --show
  facestream-camera rtsp://user:password@camera.local/stream --camera door --output jsonl
  facestream-camera clip.mp4 --every-frame --save annotated.mp4
  facestream-camera rtsp://camera.local/stream --forward
  facestream-camera photos/ --every-frame --output jsonl > answers.jsonl

\b
Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 refused, 5 server
unavailable. Ctrl-C ends a stream in order: the last answers are awaited, the
table is printed, and the exit code is 0."""

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command(epilog=_EPILOG)
def camera(  # noqa: PLR0913 - one parameter for each option
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A video file, a folder of pictures, one picture, the number of a webcam (0 is the first), or an "
            "rtsp:// or http:// URL.",
            show_default=False,
        ),
    ],
    server: Annotated[
        str, typer.Option(metavar="HOST:PORT", envvar="FACESTREAM_SERVER", help="The server.")
    ] = DEFAULT_TARGET,
    camera: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the camera: 1 to 64 of A-Z a-z 0-9 . _ -")
    ] = "camera",
    gallery: Annotated[
        str, typer.Option(metavar="NAME", envvar="FACESTREAM_GALLERY", help="Gallery to match against.")
    ] = "default",
    fps: Annotated[
        float,
        typer.Option(
            min=0.0, metavar="F", help="Frames per second at most; 0 takes all (of a folder: 5 pictures a second)."
        ),
    ] = 0.0,
    quality: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100,
            metavar="Q",
            help="JPEG quality of what is sent.  [default: what the server advises, or 85]",
            show_default=False,
        ),
    ] = None,
    max_width: Annotated[
        int, typer.Option(min=0, metavar="PIXELS", help="Send wider frames at this width; 0 sends them as they are.")
    ] = 0,
    target_far: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=0.1,
            metavar="F",
            help="Wanted false accept rate of one face against the whole gallery, such as 0.001; 0 takes the server's.",
        ),
    ] = 0.0,
    every_frame: Annotated[
        bool,
        typer.Option(
            "--every-frame",
            help="Wait for each answer instead of dropping frames: every frame of a file is recognised, not in real "
            "time.",
        ),
    ] = False,
    ignore_advice: Annotated[
        bool,
        typer.Option(
            "--ignore-advice",
            help="Send as much as there is, whatever the server says that it can take; it drops the rest.",
        ),
    ] = False,
    forward: Annotated[
        bool,
        typer.Option(
            "--forward",
            help="Send the camera's own packets of H.264 or HEVC, not decoded and not encoded again: the least work "
            "for this machine and the network. When they can't be sent in time they are left out up to the next key "
            "frame.",
        ),
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.mp4", help="Write a video of the recognised frames with boxes and names.", show_default=False
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Show the frames in a window; q closes it.")] = False,
    output: Annotated[
        StreamOutput,
        typer.Option(help="Standard output: a table of who was seen when, at the end; or a line of JSON per frame."),
    ] = StreamOutput.TABLE,
    give_up_after: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="SECONDS",
            help="Fail when the server was out of reach for so long.  [default: 60 for files, never for cameras]",
            show_default=False,
        ),
    ] = None,
    max_reconnects: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Fail after so many attempts in a row to reach the server again.  [default: no limit]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Stream SOURCE to a server and show who is in it.

    Files play in real time, and frames for which there is no time are dropped, as from a camera, unless --every-frame
    is given. Lost connections are opened again.
    """
    if forward:
        _refuse_what_needs_pictures(save=save, show=show, quality=quality, max_width=max_width, fps=fps)
    if save is not None:
        checked_video_path(save)
        if Path(source).exists() and save.exists() and save.samefile(source):
            raise UsageError("--save would overwrite the source", "choose another name")
    checked_target(server)
    encoding = JpegEncoding(quality=quality, max_width=max_width)
    window = Window() if show else None
    frames = open_packets(source) if forward else open_source(source, fps=fps)
    if every_frame and frames.live:
        frames.close()
        raise UsageError(f"--every-frame is for files: {frames.description} does not wait", "leave it out")
    give_up_s = give_up_after if give_up_after is not None else math.inf if frames.live else _FILE_GIVE_UP_S
    options = StreamOptions(
        camera=camera,
        gallery=gallery,
        target_far=target_far,
        delivery=Delivery.EVERY if every_frame else Delivery.NEWEST,
        encoding=encoding,
        obey_advice=not ignore_advice,
        patience=Patience(
            give_up_s=give_up_s, max_reconnects=sys.maxsize if max_reconnects is None else max_reconnects
        ),
    )
    asyncio.run(_watch(server, frames, options, Display(output, save, window)))


def _refuse_what_needs_pictures(**options: object) -> None:
    """With --forward there are packets only, which nobody here decodes.

    Raises:
        UsageError: an option was given that does something to pictures or with them.
    """
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value]
    if given:
        raise UsageError(
            f"{given[0]} needs pictures, and --forward sends packets that are not decoded here", "leave one of them out"
        )


async def _watch(server: str, source: Source | PacketSource, options: StreamOptions, display: Display) -> None:
    async with Client(server) as client:
        await watch(client, source, options, display)


def main() -> None:
    """The command facestream-camera."""
    sys.exit(run(app, sys.argv[1:]))


if __name__ == "__main__":
    main()
