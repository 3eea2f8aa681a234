"""The script as a video file, with its ground truth beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import cv2
from rich.console import Console
from rich.progress import track

from clients.video import VideoWriter
from demo.cutout import Cutout, Image, cut_out
from demo.errors import DemoError
from demo.portraits import Photograph
from demo.scene import Scene, render
from demo.script import ACTORS, ENROLLED, FPS, SECONDS, WALKS, Actor
from demo.truth import Presence, Truth, write_truth


def make_film(portraits: Mapping[Photograph, Path], video: Path, truth: Path, console: Console) -> Truth:
    """Who is in which frame of the video that was written.

    Args:
        portraits: where the photographs are.
        video: MP4 file to write.
        truth: JSON file to write.
        console: shows how far it is.

    Raises:
        DemoError: a photograph can't be read.
        OutputError: the video can't be written.
    """
    scene = Scene(_figures(ACTORS, portraits), WALKS, FPS, SECONDS)
    frames: list[tuple[Presence, ...]] = []
    with VideoWriter(video, fps=FPS) as writer:
        rendering = track(
            render(scene), "drawing the video", FPS * SECONDS, console=console, disable=not console.is_terminal
        )
        for number, (image, present) in enumerate(rendering):
            writer.write(image, at_ns=round(number * 10**9 / FPS))
            frames.append(present)
    enrolled = tuple(dict.fromkeys(photo.person for photo in ENROLLED))
    made = Truth(FPS, enrolled, tuple(frames))
    write_truth(made, truth)
    return made


def _figures(actors: Sequence[Actor], portraits: Mapping[Photograph, Path]) -> dict[str, Cutout]:
    figures = {}
    for actor in actors:
        path = portraits[actor.photo]
        photo = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if photo is None:
            raise DemoError(f"{path} is no picture; delete its folder and run the demonstration again")
        figures[actor.photo.person] = cut_out(cast("Image", photo), actor.face)
    return figures
