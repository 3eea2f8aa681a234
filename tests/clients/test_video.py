from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from clients.errors import OutputError, UsageError
from clients.video import VideoWriter, checked_video_path
from tests.clients.conftest import grey_of, number_picture


def played(path: Path) -> list[tuple[float, float, tuple[int, ...]]]:
    """Time in seconds, mean grey level and shape of every picture."""
    with av.open(str(path)) as container:
        return [
            (frame.time, float(frame.to_ndarray(format="bgr24").mean()), frame.to_ndarray(format="bgr24").shape)
            for frame in container.decode(video=0)
        ]


def test_pictures_come_back_at_their_times(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    times_s = [0, 0.1, 0.2, 0.5, 0.533, 2.0]
    with VideoWriter(path, fps=10) as writer:
        for number, time_s in enumerate(times_s, start=1):
            writer.write(number_picture(number), at_ns=round(time_s * 1e9))
    frames = played(path)
    assert [time for time, _, _ in frames] == pytest.approx(times_s, abs=0.002)
    for number, (_, grey, shape) in enumerate(frames, start=1):
        assert abs(grey - grey_of(number)) < 8
        assert shape == (120, 160, 3)
    assert [item.name for item in tmp_path.iterdir()] == ["out.mp4"]


def test_the_video_is_h264_where_this_build_can_write_it(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4") as writer:
        writer.write(number_picture(1), at_ns=0)
    with av.open(str(tmp_path / "out.mp4")) as container:
        codec = container.streams.video[0].codec_context.name
    assert codec == ("h264" if "libx264" in av.codecs_available else "mpeg4")


def test_a_picture_that_is_not_later_is_left_out(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4") as writer:
        for at_ns in (0, 10**9, 10**9, 5 * 10**8, 2 * 10**9):
            writer.write(number_picture(1), at_ns=at_ns)
    assert writer.written == 3
    assert len(played(tmp_path / "out.mp4")) == 3


def test_odd_sizes_and_other_sizes_are_fitted_into_the_first(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4") as writer:
        writer.write(np.full((61, 99, 3), 200, np.uint8), at_ns=0)
        writer.write(np.full((200, 100, 3), 200, np.uint8), at_ns=10**9)
        writer.write(np.full((10, 400, 3), 200, np.uint8), at_ns=2 * 10**9)
    frames = played(tmp_path / "out.mp4")
    assert [shape for _, _, shape in frames] == [(62, 100, 3)] * 3
    # 31 of 100 columns, and 2 or 3 of 62 rows, are picture; the rest is black.
    assert [round(grey / 200, 1) for _, grey, _ in frames] == [1.0, 0.3, 0.0]


def test_no_picture_makes_no_file(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_video_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"earlier")
    writer = VideoWriter(path)
    writer.write(number_picture(1), at_ns=0)
    assert path.read_bytes() == b"earlier"
    writer.close()
    writer.close()
    assert len(played(path)) == 1


@pytest.mark.parametrize("name", ["out.avi", "out", "missing/out.mp4", "folder.mp4"])
def test_a_place_where_no_video_can_be_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(UsageError):
        checked_video_path(tmp_path / name)


def write_one(path: Path) -> None:
    with VideoWriter(path) as writer:
        writer.write(number_picture(1), at_ns=0)


def test_a_file_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ".out.partial.mp4").mkdir()
    with pytest.raises(OutputError, match=r"out\.mp4 cannot be written"):
        write_one(tmp_path / "out.mp4")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full disk to try")
def test_a_full_disk_is_an_error_and_the_earlier_video_stays(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_bytes(b"earlier")
    (tmp_path / ".out.partial.mp4").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="No space left"):
        write_one(tmp_path / "out.mp4")
    assert (tmp_path / "out.mp4").read_bytes() == b"earlier"
    assert [item.name for item in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize("colour", [(128, 128, 128), (40, 90, 160), (200, 120, 60)])
def test_a_flat_picture_keeps_its_colour(tmp_path, colour):
    picture = np.full((64, 96, 3), colour, np.uint8)
    with VideoWriter(tmp_path / "flat.mp4", fps=10) as writer:
        for number in range(3):
            writer.write(picture, at_ns=number * 10**8)
    with av.open(str(tmp_path / "flat.mp4")) as container:
        (frame, *_) = (frame.to_ndarray(format="bgr24") for frame in container.decode(video=0))
    assert np.abs(frame.mean(axis=(0, 1)) - colour).max() <= 2.5
