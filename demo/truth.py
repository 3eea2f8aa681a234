"""Who is where in which frame of a made video."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from demo.errors import DemoError
from demo.geometry import Box


@dataclass(frozen=True, slots=True)
class Presence:
    """A person's face in a frame.

    Attributes:
        person: who it is.
        box: where the face is, pixels; parts of it may lie outside the frame.
        visible: share of the box that is in the frame and in front of everything else, 0..1.
        blur_px: standard deviation of all blur together.
        brightness: factor by which the face is brighter than in its photograph.
    """

    person: str
    box: Box
    visible: float
    blur_px: float
    brightness: float


@dataclass(frozen=True, slots=True)
class Truth:
    """A made video.

    Attributes:
        fps: frames per second.
        enrolled: people that the server knows; everybody else must stay without a name.
        frames: who is in each frame, from the first on.
    """

    fps: int
    enrolled: tuple[str, ...]
    frames: tuple[tuple[Presence, ...], ...]

    def at(self, sequence: int) -> tuple[Presence, ...]:
        """Who is in a frame, counted from 1 as cameras do."""
        return self.frames[sequence - 1]


def write_truth(truth: Truth, path: Path) -> None:
    """Writes JSON, a line for each frame."""
    lines = ",\n".join(
        "  " + json.dumps([asdict(presence) for presence in frame], ensure_ascii=False) for frame in truth.frames
    )
    head = json.dumps({"fps": truth.fps, "enrolled": truth.enrolled}, ensure_ascii=False)[:-1]
    path.write_text(f'{head}, "frames": [\n{lines}\n]}}\n', encoding="utf-8")


def read_truth(path: Path) -> Truth:
    """What `write_truth` wrote.

    Raises:
        DemoError: the file is something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        frames = tuple(tuple(_presence(item) for item in frame) for frame in value["frames"])
        return Truth(int(value["fps"]), tuple(value["enrolled"]), frames)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DemoError(f"{path} is no ground truth: {error!r}; run the demonstration again") from error


def _presence(item: Mapping[str, object]) -> Presence:
    return Presence(**(dict(item) | {"box": Box(**item["box"])}))  # type: ignore[arg-type]
