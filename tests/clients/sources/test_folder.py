from __future__ import annotations

import logging
from pathlib import Path

import pytest

from clients.errors import SourceError, SourceNotFoundError
from clients.sources.folder import Pictures, picture_folder
from tests.clients.conftest import grey_of


def test_pictures_come_by_the_numbers_in_their_names(pictures: Path) -> None:
    source = picture_folder(pictures, fps=2)
    frames = list(source)
    assert [round(float(frame.image.mean())) for frame in frames] == [grey_of(1), grey_of(2), grey_of(10)]
    assert [frame.stamp.sequence for frame in frames] == [1, 2, 3]
    assert [frame.stamp.position_ns for frame in frames] == [0, 500_000_000, 1_000_000_000]
    assert (source.expected, source.live, source.fps) == (3, False, 2)


def test_without_a_rate_there_are_five_pictures_a_second(pictures: Path) -> None:
    assert picture_folder(pictures).fps == 5


def test_a_file_that_is_no_picture_is_left_out_with_a_warning(pictures: Path, caplog: pytest.LogCaptureFixture) -> None:
    (pictures / "img3.jpg").write_bytes(b"hello")
    with caplog.at_level(logging.WARNING):
        numbers = [frame.stamp.sequence for frame in picture_folder(pictures)]
    assert numbers == [1, 2, 4]
    assert "img3.jpg is no picture" in caplog.text


def test_pictures_none_of_which_can_be_read_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"hello")
    with pytest.raises(SourceError, match="none of 1 files"):
        list(Pictures([tmp_path / "a.jpg"], description="a"))


def test_a_missing_folder_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError):
        picture_folder(tmp_path / "gone")


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no picture"):
        picture_folder(tmp_path)


def test_reading_can_be_interrupted(pictures: Path) -> None:
    source = picture_folder(pictures)
    frames = iter(source)
    next(frames)
    source.interrupt()
    assert list(frames) == []
