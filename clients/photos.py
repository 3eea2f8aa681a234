"""Photographs on their way to the server."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from clients.errors import SourceError, SourceNotFoundError
from clients.text import printable

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
MAX_PHOTO_BYTES = 8 * 2**20
"""Larger files are made smaller before they are sent."""

MAX_PHOTO_PIXELS = 2**25
"""So are pictures of more pixels, however few bytes they take."""

_WORTH_A_LOOK = 2**19
"""Photographs of so many pixels are larger, bytes."""

_MAX_SIDE = 2560
"""Longer side of a photograph that was made smaller, pixels: the face of a portrait keeps hundreds of them."""

_MAX_SOURCE = 200
_BATCH_BYTES = 16 * 2**20
_BATCH_PHOTOS = 16


class Codec(Enum):
    """How the bytes of a photograph are encoded; UNSPECIFIED lets the server tell JPEG from PNG."""

    UNSPECIFIED = "unspecified"
    JPEG = "jpeg"
    PNG = "png"


@dataclass(frozen=True, slots=True)
class Photo:
    """A photograph.

    Attributes:
        source: a name to recognise it by, such as the file's: up to 200 characters, no control characters.
        data: the encoded bytes.
        codec: their encoding.
    """

    source: str
    data: bytes
    codec: Codec = Codec.UNSPECIFIED


def read_photo(path: Path) -> Photo:
    """The photograph in a file. What the server doesn't read (WebP, BMP) or would find too large is re-encoded.

    Raises:
        SourceNotFoundError: there is no such file.
        SourceError: it cannot be read, or is no picture and too large to send as it is.
    """
    if not path.exists():
        raise SourceNotFoundError(f"{printable(path)}: no such file")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{printable(path)} cannot be read: {error.strerror}") from error
    # The server takes what Python calls printable, which leaves joiners and odd spaces out.
    source = "".join(c for c in printable(path.name) if c.isprintable())[:_MAX_SOURCE]
    foreign = data[:2] == b"BM" or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")
    if foreign or len(data) > MAX_PHOTO_BYTES or _pixels(data) > MAX_PHOTO_PIXELS:
        return Photo(source, _as_jpeg(path, data), Codec.JPEG)
    # Damaged and foreign files go to the server as they are: it says what is wrong with each.
    return Photo(source, data)


def _pixels(data: bytes) -> int:
    """About how many a picture has; 0 for a small file, which needs no look, and for what is no picture."""
    import cv2
    import numpy as np

    if len(data) < _WORTH_A_LOOK:
        return 0
    try:
        eighth = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
    except cv2.error:
        return 0
    return 0 if eighth is None else eighth.shape[0] * eighth.shape[1] * 64


def _as_jpeg(path: Path, data: bytes) -> bytes:
    import cv2
    import numpy as np

    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise SourceError(f"{printable(path)} is no picture that can be read", "use a JPEG or PNG file")
    scale = _MAX_SIDE / max(image.shape[:2])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    return jpeg.tobytes()


def photo_files(paths: Sequence[Path]) -> list[Path]:
    """The files among the paths, and the pictures in the folders among them, in the order of `in_order`.

    Raises:
        SourceNotFoundError: a path is not there.
        SourceError: a folder holds no picture.
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise SourceNotFoundError(f"{printable(path)}: no such file or folder")
        files += pictures_in(path) if path.is_dir() else [path]
    return files


def pictures_in(folder: Path) -> list[Path]:
    """The pictures in a folder, in the order of `in_order`; those in its folders are left out.

    Raises:
        SourceError: there is none.
    """
    try:
        found = [item for item in folder.iterdir() if item.suffix.lower() in PHOTO_SUFFIXES and item.is_file()]
    except OSError as error:
        raise SourceError(f"{printable(folder)} cannot be read: {error.strerror}") from error
    if not found:
        endings = ", ".join(sorted(PHOTO_SUFFIXES))
        raise SourceError(f"{printable(folder)} holds no picture", f"pictures are files that end in {endings}")
    return in_order(found)


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Paths by name, with numbers by their value: img2 before img10."""
    return sorted(paths, key=_order)


def _order(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    parts = re.split(r"(\d+)", path.name.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part], path.name


def batches(photos: Iterable[Photo]) -> Iterator[list[Photo]]:
    """The photographs in groups that fit into one request each, read one group ahead at most."""
    batch: list[Photo] = []
    size = 0
    for photo in photos:
        if batch and (size + len(photo.data) > _BATCH_BYTES or len(batch) == _BATCH_PHOTOS):
            yield batch
            batch, size = [], 0
        batch.append(photo)
        size += len(photo.data)
    if batch:
        yield batch
