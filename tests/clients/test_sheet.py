from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from clients.errors import OutputError
from clients.lettering import default_lettering
from clients.sheet import SheetFace, contact_sheet, save_sheets

LETTERING = default_lettering()


def crop(colour: tuple[int, int, int]) -> bytes:
    return cv2.imencode(".png", np.full((112, 112, 3), colour, np.uint8))[1].tobytes()


def test_faces_lie_in_rows_in_their_order() -> None:
    colours = [(20 * number, 0, 0) for number in range(8)]
    sheet = contact_sheet([SheetFace(crop(colour), ("a", "b")) for colour in colours], LETTERING)
    assert sheet.shape == (10 + 2 * (170 + 38), 10 + 6 * 170, 3)
    centres = [sheet[90 + 208 * (number // 6), 90 + 170 * (number % 6), 0] for number in range(8)]
    assert centres == [20 * number for number in range(8)]


def test_text_is_written_under_its_face() -> None:
    plain = contact_sheet([SheetFace(crop((0, 0, 0)), ("",))] * 2, LETTERING)
    written = contact_sheet([SheetFace(crop((0, 0, 0)), ("",)), SheetFace(crop((0, 0, 0)), ("Ada",))], LETTERING)
    rows, columns = np.nonzero((plain != written).any(axis=2))
    assert rows.min() >= 170
    assert columns.min() >= 180


@pytest.mark.parametrize("data", [b"", b"no picture"])
def test_a_face_without_a_picture_is_grey(data: bytes) -> None:
    sheet = contact_sheet([SheetFace(data, ())], LETTERING)
    assert tuple(sheet[90, 90]) == (205, 205, 205)


def test_a_name_that_is_too_long_stays_within_its_face() -> None:
    sheet = contact_sheet([SheetFace(crop((0, 0, 0)), ("W" * 80,))] * 2, LETTERING)
    assert (sheet[172:, 171:180] == 250).all()


def test_more_faces_than_a_picture_holds_come_on_several_sheets(tmp_path: Path) -> None:
    faces = [SheetFace(b"", ("a", "b", "c"))] * 1801
    files = save_sheets(tmp_path / "faces.jpg", faces, LETTERING)
    assert [file.name for file in files] == ["faces.jpg", "faces-2.jpg", "faces-3.jpg", "faces-4.jpg"]
    pictures = [cv2.imread(str(file)) for file in files]
    assert [picture.shape[0] for picture in pictures] == [10 + 100 * 227] * 3 + [10 + 227]


def test_faces_that_fit_are_on_one_sheet_under_the_name(tmp_path: Path) -> None:
    assert save_sheets(tmp_path / "faces.png", [SheetFace(b"", ())] * 600, LETTERING) == [tmp_path / "faces.png"]


def test_a_sheet_that_its_format_cannot_hold_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"a\.jpg was not written: .* pixels") as refused:
        save_sheets(tmp_path / "a.jpg", [SheetFace(b"", ("",) * 4000)], LETTERING)
    assert ".png" in refused.value.hint


def test_a_sheet_of_nothing_and_a_file_that_is_no_picture_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no faces"):
        save_sheets(tmp_path / "a.jpg", [], LETTERING)
    with pytest.raises(OutputError):
        save_sheets(tmp_path / "a.txt", [SheetFace(b"", ())], LETTERING)
    with pytest.raises(OutputError):
        save_sheets(tmp_path / "missing" / "a.jpg", [SheetFace(b"", ())], LETTERING)
