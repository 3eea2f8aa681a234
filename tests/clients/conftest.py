"""Fake servers, and small videos and pictures made on the spot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from clients.fake.server import FakeServer, served
from clients.frames import Frame, Image, Stamp

MakeClip = Callable[..., Path]


@pytest.fixture
async def fake() -> AsyncIterator[FakeServer]:
    """A fake server in the test's own event loop."""
    async with FakeServer() as server:
        yield server


@pytest.fixture
def threaded() -> Iterator[FakeServer]:
    """A fake server in a thread, for commands that bring their own event loop."""
    with served() as server:
        yield server


def grey_of(number: int) -> int:
    """The grey level of the frame with this number, far enough from its neighbours to survive compression."""
    return 25 + 22 * (number % 10)


def number_picture(number: int, width: int = 160, height: int = 120) -> Image:
    return np.full((height, width, 3), grey_of(number), np.uint8)


def frame(number: int, *, width: int = 160, height: int = 120, captured_at_ns: int = 0, fps: float = 10) -> Frame:
    stamp = Stamp(number, captured_at_ns, round((number - 1) / fps * 1e9))
    return Frame(stamp, number_picture(number, width, height))


@pytest.fixture
def make_clip(tmp_path: Path) -> MakeClip:
    """Writes a video whose frame N is grey of level `grey_of(N)`, counted from 1."""

    def make(
        name: str = "clip.mp4",
        *,
        frames: int = 20,
        fps: int = 10,
        size: tuple[int, int] = (160, 120),
        codec: str = "mpeg4",
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=fps)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            for number in range(1, frames + 1):
                picture = av.VideoFrame.from_ndarray(number_picture(number, *size), format="bgr24")
                picture.pts, picture.time_base = number - 1, Fraction(1, fps)
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
        return path

    return make


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of three pictures, whose names sort differently by letters and by numbers, and a text file."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in (1, 2, 10):
        cv2.imwrite(str(folder / f"img{number}.png"), number_picture(number))
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A photograph, as far as a fake server can tell."""
    path = tmp_path / "ada.jpg"
    noise = np.random.default_rng(1).integers(0, 255, (120, 100, 3), np.uint8)
    cv2.imwrite(str(path), noise)
    return path
