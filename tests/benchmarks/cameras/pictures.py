"""The frames that the cameras send: JPEG, made ahead, because a camera's own encoder is not the server's cost."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from tests.real_data import data_folder

CLIPS = data_folder() / "clips"
STILLS = CLIPS / "stills"
CAST = {
    "Lin-Manuel Miranda": "lin_manuel_miranda",
    "Alex Lacamoire": "alex_lacamoire",
    "Barack Obama": "barack_obama",
}
"""Who is enrolled, and how the files of their photographs begin."""

QUALITY = 85


def decoded(clip: Path) -> Iterator[NDArray[np.uint8]]:
    """The pictures of a clip, (H, W, 3) uint8 BGR."""
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="bgr24")


def jpeg(picture: NDArray[np.uint8], *, width: int = 0) -> bytes:
    """A picture as JPEG, shrunk to a width in pixels if one is given."""
    if width:
        height = round(picture.shape[0] * width / picture.shape[1])
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


@cache
def crowd(width: int = 1920) -> tuple[bytes, ...]:
    """crowd_1080p.mp4, in order."""
    return tuple(jpeg(picture, width=0 if width == picture.shape[1] else width) for picture in decoded(_CROWD))


@cache
def hamilton() -> tuple[bytes, ...]:
    """hamilton.mp4 at 640x360, in order: all 275 frames."""
    return tuple(jpeg(picture) for picture in decoded(CLIPS / "hamilton.mp4"))


_CROWD = CLIPS / "crowd_1080p.mp4"


@cache
def mixture(count: int = 96) -> tuple[bytes, ...]:
    """Pictures of many sizes, with no face and with up to some dozens: what makes memory grow if anything does."""
    chance = np.random.default_rng(7)
    sources = [*decoded(_CROWD)][::8] + [*decoded(CLIPS / "hamilton.mp4")][::24]
    return tuple(_varied(sources[i % len(sources)], chance) for i in range(count))


def _varied(picture: NDArray[np.uint8], chance: np.random.Generator) -> bytes:
    """A part of a picture at another size, sometimes four times beside each other."""
    height, width = picture.shape[:2]
    share = chance.uniform(0.3, 1.0)
    top, left = (round(chance.uniform(0, 1 - share) * side) for side in (height, width))
    part = picture[top : top + round(share * height), left : left + round(share * width)]
    if chance.random() < 0.25:
        part = np.tile(part, (2, 2, 1))
    return jpeg(part, width=int(chance.integers(10, 61)) * 32)
