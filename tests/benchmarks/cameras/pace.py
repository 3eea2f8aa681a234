"""What it costs to search for faces less often: --detect-interval and --detect-still-ms against every frame.

The same frames go through servers with different settings, one at a time and with the clip's own times. Faces found in
every frame are the reference; one that has no box of IoU 0.5 or more in the same frame of another run is missed, and a
box that has none in the reference is shown where no face is any more. The crowd walks, so that it never stands still;
for the other setting somebody stands before a camera whose sensor is a little noisy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from server.inference.parity import overlaps
from tests.benchmarks.cameras.load import Camera, fields, play
from tests.benchmarks.cameras.measured_server import measured_server
from tests.benchmarks.cameras.pictures import crowd, jpeg
from tests.benchmarks.cameras.section import Measured, Size
from tests.benchmarks.report import Figure

INTERVALS = (2, 3, 5)
STILL_MS = 500
_CLIP_FPS = 25.0
_FRAMES = 150
_WIDTH = 1280
_MOST_S = 300
_SAME_FACE = 0.5

Boxes = list[NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Played:
    """One run: the boxes of every frame, and what a frame cost the server in processor milliseconds."""

    boxes: Boxes
    cpu_ms: float


def measure(size: Size) -> Measured:
    """One run for each setting; the clip is what it is, whatever the size."""
    del size
    walking = fields(crowd(_WIDTH)[:_FRAMES])
    standing = fields(_noisy(crowd(_WIDTH)[0], _FRAMES))
    every = _run(walking)
    rows = [(f"every {n} frames", every, _run(walking, "--detect-interval", str(n))) for n in INTERVALS]
    still = ("--detect-still-ms", str(STILL_MS))
    rows.append((f"still, every {STILL_MS} ms, a crowd that walks", every, _run(walking, *still)))
    rows.append((f"still, every {STILL_MS} ms, a picture that stands", _run(standing), _run(standing, *still)))
    return Measured([figure for row in rows for figure in _figures(*row)])


def _figures(what: str, every: Played, less: Played) -> list[Figure]:
    return [
        Figure(f"detection {what}: recall", 100 * found(every.boxes, less.boxes), "% of the faces"),
        Figure(f"detection {what}: precision", 100 * found(less.boxes, every.boxes), "% of the boxes"),
        Figure(f"detection {what}: cost over every frame's", less.cpu_ms / every.cpu_ms, "x"),
    ]


def found(faces: Boxes, others: Boxes) -> float:
    """The share of faces that have one of the others in the same frame."""
    hits = total = 0
    for here, there in zip(faces, others, strict=True):
        total += len(here)
        hits += int((overlaps(here, there).max(axis=1, initial=0.0) >= _SAME_FACE).sum())
    return hits / total if total else 1.0


def _run(images: Sequence[bytes], *flags: str) -> Played:
    with measured_server(*flags) as server:
        before = server.cpu_s()
        camera = Camera(
            "pace", images, in_flight=1, frames=len(images), clip_fps=_CLIP_FPS, obeys=False, keeps_boxes=True
        )
        play(server.address, [camera], _MOST_S)
        spent_s = server.cpu_s() - before
    answers = [camera.played.answers[sequence] for sequence in range(1, len(images) + 1)]
    boxes = [np.asarray(answer.boxes, np.float32).reshape(-1, 4) for answer in answers]
    return Played(boxes, 1000 * spent_s / len(images))


def _noisy(picture: bytes, count: int) -> list[bytes]:
    """The picture again and again, each time with its own noise of 2 grey levels."""
    chance = np.random.default_rng(11)
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR).astype(np.float32)
    noises = (chance.normal(0, 2, image.shape).astype(np.float32) for _ in range(count))
    return [jpeg(np.clip(image + noise, 0, 255).astype(np.uint8)) for noise in noises]
