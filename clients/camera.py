"""facestream-camera: streams a camera, video or folder of pictures to a server and shows who is in it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from clients.channel import DEFAULT_TARGET
from clients.commands.run import run
from clients.commands.stream import StreamOrder, carry_out
from clients.commands.watch import StreamOutput

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


_SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A video file, a folder of pictures, one picture, the number of a webcam (0 is the first), or an "
        "rtsp:// or http:// URL.",
        show_default=False,
    ),
]
_Server = Annotated[str, typer.Option(metavar="HOST:PORT", envvar="FACESTREAM_SERVER", help="The server.")]
_Camera = Annotated[str, typer.Option(metavar="NAME", help="Name of the camera: 1 to 64 of A-Z a-z 0-9 . _ -")]
_Gallery = Annotated[str, typer.Option(metavar="NAME", envvar="FACESTREAM_GALLERY", help="Gallery to match against.")]
_Fps = Annotated[
    float,
    typer.Option(
        min=0.0, metavar="F", help="Frames per second at most; 0 takes all (of a folder: 5 pictures a second)."
    ),
]
_Quality = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=100,
        metavar="Q",
        help="JPEG quality of what is sent.  [default: what the server advises, or 85]",
        show_default=False,
    ),
]
_MaxWidth = Annotated[
    int, typer.Option(min=0, metavar="PIXELS", help="Send wider frames at this width; 0 sends them as they are.")
]
_TargetFar = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=0.1,
        metavar="F",
        help="Wanted false accept rate of one face against the whole gallery, such as 0.001; 0 takes the server's.",
    ),
]
_EveryFrame = Annotated[
    bool,
    typer.Option(
        "--every-frame",
        help="Wait for each answer instead of dropping frames: every frame of a file is recognised, not in real time.",
    ),
]
_IgnoreAdvice = Annotated[
    bool,
    typer.Option(
        "--ignore-advice",
        help="Send as much as there is, whatever the server says that it can take; it drops the rest.",
    ),
]
_Forward = Annotated[
    bool,
    typer.Option(
        "--forward",
        help="Send the camera's own packets of H.264 or HEVC, not decoded and not encoded again: the least work for "
        "this machine and the network. When they can't be sent in time they are left out up to the next key frame.",
    ),
]
_Save = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.mp4", help="Write a video of the recognised frames with boxes and names.", show_default=False
    ),
]
_Show = Annotated[bool, typer.Option("--show", help="Show the frames in a window; q closes it.")]
_Output = Annotated[
    StreamOutput,
    typer.Option(help="Standard output: a table of who was seen when, at the end; or a line of JSON per frame."),
]
_GiveUpAfter = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        metavar="SECONDS",
        help="Fail when the server was out of reach for so long.  [default: 60 for files, never for cameras]",
        show_default=False,
    ),
]
_MaxReconnects = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="Fail after so many attempts in a row to reach the server again.  [default: no limit]",
        show_default=False,
    ),
]


@app.command(epilog=_EPILOG)
def camera(  # noqa: PLR0913 - one parameter for each option
    source: _SourceArgument,
    server: _Server = DEFAULT_TARGET,
    camera: _Camera = "camera",
    gallery: _Gallery = "default",
    fps: _Fps = 0.0,
    quality: _Quality = None,
    max_width: _MaxWidth = 0,
    target_far: _TargetFar = 0.0,
    every_frame: _EveryFrame = False,
    ignore_advice: _IgnoreAdvice = False,
    forward: _Forward = False,
    save: _Save = None,
    show: _Show = False,
    output: _Output = StreamOutput.TABLE,
    give_up_after: _GiveUpAfter = None,
    max_reconnects: _MaxReconnects = None,
) -> None:
    """Stream SOURCE to a server and show who is in it.

    Files play in real time, and frames for which there is no time are dropped, as from a camera, unless --every-frame
    is given. Lost connections are opened again.
    """
    order = StreamOrder(
        source=source,
        server=server,
        camera=camera,
        gallery=gallery,
        fps=fps,
        quality=quality,
        max_width=max_width,
        target_far=target_far,
        every_frame=every_frame,
        ignore_advice=ignore_advice,
        forward=forward,
        save=save,
        show=show,
        output=output,
        give_up_after=give_up_after,
        max_reconnects=max_reconnects,
    )
    carry_out(order)


def main() -> None:
    """The command facestream-camera."""
    sys.exit(run(app, sys.argv[1:]))


if __name__ == "__main__":
    main()
