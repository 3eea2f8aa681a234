"""What the camera command wrote: a line of JSON for each frame."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.errors import DemoError
from demo.geometry import Box

RESULT = "result"
DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class SeenFace:
    """A face that the server found.

    Attributes:
        box: where, pixels.
        name: who the server says it is; "" when it gives no name.
        distance: to the nearest enrolled person, squared L2; None when the server doesn't say.
        threshold: what the distance has to beat; None when the server doesn't say.
    """

    box: Box
    name: str
    distance: float | None
    threshold: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a frame.

    Attributes:
        sequence: number of the frame, from 1.
        outcome: RESULT, DROPPED, or how it failed.
        faces: none unless there is a result.
    """

    sequence: int
    outcome: str
    faces: tuple[SeenFace, ...]


def read_sightings(path: Path) -> list[Answer]:
    """The answers in the order in which they came.

    Raises:
        DemoError: a line is something else.
    """
    answers = []
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            value = json.loads(line)
            faces = tuple(_face(face) for face in value.get("faces", ()))
            answers.append(Answer(int(value["sequence"]), str(value["outcome"]), faces))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DemoError(f"{path} does not hold answers of facestream-camera: {error!r}") from error
    return answers


def _face(value: Mapping[str, Any]) -> SeenFace:
    return SeenFace(Box(*value["box"]), value["name"] or "", value.get("distance"), value.get("threshold"))
