"""Contact sheets: many faces on one picture, each with a line or two of text, to be looked at by a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from clients.errors import OutputError
from clients.frames import Image
from clients.lettering import Colour, Lettering
from clients.text import clipped, printable

_CELL = 160
"""Side of a face, pixels."""

_GAP, _LETTERS, _LINE = 10, 14, 19
_COLUMNS = 6
_MOST_FACES = 600
"""On one sheet: it stays well below the 65,500 pixels that a JPEG is high at most, and viewers open it."""

_PAPER: Colour = (250, 250, 250)
_INK: Colour = (30, 30, 30)
_MISSING: Colour = (205, 205, 205)


@dataclass(frozen=True, slots=True)
class SheetFace:
    """A face on a sheet.

    Attributes:
        crop: encoded picture; empty when there is none.
        lines: of text under it.
    """

    crop: bytes
    lines: tuple[str, ...]


def contact_sheet(faces: Sequence[SheetFace], lettering: Lettering) -> Image:
    """(H, W, 3) uint8 BGR: the faces in rows, in their order, at least one.

    A face without a picture, or with one that cannot be read, is a grey square.
    """
    columns = min(_COLUMNS, len(faces))
    rows = -(-len(faces) // columns)
    lines = max(len(face.lines) for face in faces)
    step_x, step_y = _CELL + _GAP, _CELL + _GAP + lines * _LINE
    sheet = np.full((_GAP + rows * step_y, _GAP + columns * step_x, 3), _PAPER, np.uint8)
    for number, face in enumerate(faces):
        left, top = _GAP + number % columns * step_x, _GAP + number // columns * step_y
        sheet[top : top + _CELL, left : left + _CELL] = _picture(face.crop)
        for line, text in enumerate(face.lines):
            at = (left, top + _CELL + _LINE * (line + 1) - 4)
            lettering.draw(sheet, _fitting(text, lettering), at, _LETTERS, _INK)
    return sheet


def save_sheets(path: Path, faces: Sequence[SheetFace], lettering: Lettering) -> list[Path]:
    """Writes contact sheets as pictures of the kind that the file's name says, with so many faces each at most.

    Returns:
        The files: the first has the name, further ones of a.jpg are a-2.jpg, a-3.jpg and so on.

    Raises:
        OutputError: there are no faces, or a file cannot be written.
    """
    if not faces:
        raise OutputError(f"{printable(path)} was not written: there are no faces to show")
    sheets = [faces[first : first + _MOST_FACES] for first in range(0, len(faces), _MOST_FACES)]
    files = [path, *(path.with_stem(f"{path.stem}-{number}") for number in range(2, len(sheets) + 1))]
    for file, sheet in zip(files, sheets, strict=True):
        _save(file, contact_sheet(sheet, lettering))
    return files


def _save(path: Path, sheet: Image) -> None:
    try:
        encoded, data = cv2.imencode(path.suffix or ".jpg", sheet)
        if not encoded:
            raise OutputError(
                f"{printable(path)} was not written: its format has no pictures of {sheet.shape[1]}x{sheet.shape[0]} "
                "pixels",
                "end it with .png",
            )
        path.write_bytes(data.tobytes())
    except cv2.error as error:
        raise OutputError(f"{printable(path)} is no picture's name", "end it with .jpg or .png") from error
    except OSError as error:
        raise OutputError(f"{printable(path)} cannot be written: {error.strerror}") from error


def _picture(crop: bytes) -> Image:
    found = cv2.imdecode(np.frombuffer(crop, np.uint8), cv2.IMREAD_COLOR) if crop else None
    if found is None:
        return np.full((_CELL, _CELL, 3), _MISSING, np.uint8)
    return cv2.resize(found, (_CELL, _CELL), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _fitting(text: str, lettering: Lettering) -> str:
    shown = printable(text)
    for length in range(len(shown), 1, -1):
        if lettering.width(clipped(shown, length), _LETTERS) <= _CELL:
            return clipped(shown, length)
    return ""
