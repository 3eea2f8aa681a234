"""`python -m demo`: portraits, a video made of them, a real server, and a check of what it says."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from clients.errors import ClientError
from demo.check import check
from demo.commands import PROJECT, program, run, shown
from demo.ending import name_the_stranger
from demo.errors import DemoError
from demo.film import make_film
from demo.portraits import ALL, Photograph, fetch_portraits
from demo.report import print_verdict
from demo.script import ENROLLED, STRANGER
from demo.server import running_server
from demo.sightings import read_sightings

OUT = PROJECT / "demo" / "out"

_ENROL_S, _STREAM_S = 60.0, 600.0


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 when the server said the right thing about every frame, 1 when not."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument(
        "--every-frame",
        action="store_true",
        help="recognise every frame however long it takes, instead of dropping frames as a live camera does",
    )
    chosen = parser.parse_args(arguments)
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 200  # a file or pipe: nothing needs to be folded
    try:
        return _demonstrate(console, ["--every-frame"] if chosen.every_frame else [])
    except (DemoError, ClientError) as error:
        console.print(Text(f"the demonstration failed: {error}", style="bold red"), soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted")
        return 130


def _demonstrate(console: Console, flags: Sequence[str]) -> int:
    data, sightings, annotated = OUT / "data", OUT / "sightings.jsonl", OUT / "annotated.mp4"
    OUT.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(data, ignore_errors=True)
    for old in (sightings, annotated):
        old.unlink(missing_ok=True)
    portraits = _portraits(console)
    video = OUT / "walk.mp4"
    truth = make_film(portraits, video, OUT / "walk.json", console)
    _title(console, f"{shown(video)}: {len(truth.frames)} frames, {truth.fps} a second")
    _title(console, "a server, people to know, and a camera")
    with running_server(data, OUT / "server.log", console) as address:
        _enrol(console, portraits, address)
        camera = [program("facestream-camera"), shown(video), "--server", address, "--camera", "hall"]
        camera += ["--save", shown(annotated), "--output", "jsonl", *flags]
        run(console, camera, timeout_s=_STREAM_S, output=sightings)
        _title(console, "the stranger gets a name, and the past follows")
        faults = name_the_stranger(console, STRANGER, address, OUT)
    _title(console, "who was seen when, beside what is known of the video")
    verdict = check(truth, read_sightings(sightings))
    print_verdict(verdict, truth.fps, console)
    files = " ".join(shown(path) for path in (video, annotated, OUT / "stranger.jpg", OUT / "CREDITS.md"))
    console.print(Text(f"look at {files}"), soft_wrap=True)
    for fault in faults:
        console.print(Text(f"fault: {fault}", style="bold red"), soft_wrap=True)
    good = not verdict.faults and not faults
    told = (
        "as it should be: the enrolled are named, the stranger is not until he gets a name, and then his past follows; "
        "nobody is misnamed, every frame is answered"
    )
    console.print(Text(told if good else "NOT as it should be", style="bold green" if good else "bold red"))
    return 0 if good else 1


def _portraits(console: Console) -> Mapping[Photograph, Path]:
    _title(console, "photographs")
    portraits = fetch_portraits(
        OUT / "portraits", OUT / "CREDITS.md", OUT / "cache", say=lambda line: console.print(line, soft_wrap=True)
    )
    for photo in ALL:
        terms = photo.licence.partition(",")[0]
        console.print(Text(f"  {photo.title}: {photo.author} ({terms})"), soft_wrap=True)
    return portraits


def _enrol(console: Console, portraits: Mapping[Photograph, Path], address: str) -> None:
    for person in dict.fromkeys(photo.person for photo in ENROLLED):
        photos = [shown(portraits[photo]) for photo in ENROLLED if photo.person == person]
        command = [program("facestream-admin"), "person", "enrol", person, *photos, "--server", address]
        run(console, command, timeout_s=_ENROL_S)


def _title(console: Console, text: str) -> None:
    console.print(Text(f"\n{text}", style="bold"))


if __name__ == "__main__":
    sys.exit(main())
