from __future__ import annotations

import socket
import sys
from pathlib import Path

import av
import pytest

from clients.errors import SourceError, SourceNotFoundError
from clients.sources.folder import Pictures
from clients.sources.open import open_source
from clients.sources.reopening import Reopening
from clients.sources.video import VideoFile
from tests.clients.conftest import MakeClip
from tests.clients.rtsp_camera import rtsp_camera


def test_a_file_is_a_video(make_clip: MakeClip) -> None:
    source = open_source(str(make_clip(frames=4)), fps=5)
    assert isinstance(source, VideoFile)
    assert len(list(source)) == 2
    source.close()


def test_a_folder_is_a_row_of_pictures(pictures: Path) -> None:
    source = open_source(str(pictures))
    assert isinstance(source, Pictures)
    assert source.expected == 3


def test_a_picture_is_a_row_of_one(pictures: Path) -> None:
    assert len(list(open_source(str(pictures / "img1.png")))) == 1


@pytest.mark.skipif("libx264" not in av.codecs_available, reason="this PyAV cannot encode H.264")
def test_a_url_is_a_camera_that_is_opened_again() -> None:
    with rtsp_camera() as camera:
        source = open_source(camera.url)
        assert isinstance(source, Reopening)
        assert source.live
        assert "secret" not in source.description
        source.close()


def test_a_url_with_nothing_behind_it_is_an_error_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(SourceError, match="Connection refused"):
        open_source(f"rtsp://127.0.0.1:{port}/x")


@pytest.mark.skipif(sys.platform != "linux" or Path("/dev/video97").exists(), reason="asks for a device of Linux")
def test_a_webcam_that_is_not_there_is_not_found() -> None:
    with pytest.raises(SourceNotFoundError, match="there is no webcam 97"):
        open_source("97")


@pytest.mark.parametrize("text", ["nowhere", "nowhere/clip.mp4", "ftp://host/clip.mp4", "-1", "²"])
def test_anything_else_is_not_found_and_the_choices_are_named(text: str) -> None:
    with pytest.raises(SourceNotFoundError) as error:
        open_source(text)
    assert all(word in error.value.hint for word in ("video", "folder", "webcam", "rtsp://"))
