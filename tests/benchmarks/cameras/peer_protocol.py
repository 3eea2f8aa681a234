"""How a peer is driven: a process of its own that is warm and runs so many frames whenever it is told to.

Needs nothing but Python, because a peer has an environment of its own.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

Recognise = Callable[[bytes], tuple[int, int]]
"""One JPEG to the number of faces found, and of faces named."""


def frames_in(folder: Path) -> list[bytes]:
    """The frames that were laid there, in order."""
    return [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]


def answer(recognise: Recognise, frames: Sequence[bytes], *, warm: int) -> None:
    """For each line with a number of seconds: runs frames for so long, one line of JSON about it."""
    stride = _stride(len(frames))
    for number in range(warm):
        recognise(frames[number * stride % len(frames)])
    print("ready", flush=True)
    place = 0
    for line in sys.stdin:
        done = found = named = 0
        began = time.perf_counter()
        while time.perf_counter() - began < float(line):
            faces, known = recognise(frames[place * stride % len(frames)])
            done, found, named, place = done + 1, found + faces, named + known, place + 1
        seconds = time.perf_counter() - began
        print(json.dumps({"frames": done, "seconds": seconds, "faces": found, "named": named}), flush=True)


def _stride(count: int) -> int:
    """A step that leads through all frames and spreads the first few over the whole clip, as the cameras are."""
    return next(step for step in range(max(1, round(0.382 * count)), count + 2) if math.gcd(step, count) == 1)
