from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import av
import pytest

from clients.errors import SourceError
from clients.frames import Frame
from clients.sources.network import NetworkCamera, without_password
from clients.sources.packets import PacketCamera
from tests.clients.conftest import MakeClip, grey_of
from tests.clients.rtsp_camera import rtsp_camera

pytestmark = pytest.mark.skipif("libx264" not in av.codecs_available, reason="this PyAV cannot encode H.264")


def read(source: NetworkCamera) -> tuple[list[Frame], str]:
    frames: list[Frame] = []
    try:
        for frame in source:
            frames.append(frame)  # noqa: PERF402 - what came before the error counts
    except SourceError as error:
        return frames, error.message
    finally:
        source.close()
    raise AssertionError("a camera does not end without a word")


def test_an_rtsp_camera_gives_its_pictures_over_tcp() -> None:
    with rtsp_camera(frames=12) as camera:
        source = NetworkCamera(camera.url)
        assert source.live
        frames, message = read(source)
    assert "ended its stream" in message
    assert [frame.stamp.sequence for frame in frames] == list(range(1, len(frames) + 1))
    # The player may need a picture or two to find out what it plays, but gives them all.
    assert len(frames) == 12
    for frame in frames:
        assert frame.image.shape == (120, 160, 3)
        assert abs(float(frame.image.mean()) - grey_of(frame.stamp.sequence)) < 8
    setup = next(request for request in camera.requests if request.startswith("SETUP"))
    assert "RTP/AVP/TCP" in setup


def test_frames_per_second_are_limited_by_the_cameras_own_time() -> None:
    with rtsp_camera(frames=20, fps=20) as camera:
        frames, _ = read(NetworkCamera(camera.url, fps=5))
    kept = [frame.stamp.sequence for frame in frames]
    # FFmpeg gives the first two pictures of an RTSP stream the same time.
    assert kept in ([1, 5, 9, 13, 17], [1, 6, 10, 14, 18])


def test_nothing_at_the_address_is_an_error_at_once_and_no_password_is_shown() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(SourceError) as error:
        NetworkCamera(f"rtsp://viewer:secret@127.0.0.1:{port}/live?key=secret")
    assert error.value.message == f"camera rtsp://viewer@127.0.0.1:{port}/live cannot be opened: Connection refused"
    assert "address" in error.value.hint


@pytest.mark.parametrize("password", ["se/cret", "se#cret", "se?cret", "se[cret", "se]cret"])
@pytest.mark.parametrize("opened", [NetworkCamera, PacketCamera])
def test_a_password_that_makes_no_url_is_an_error_that_does_not_show_it(
    opened: Callable[[str], object], password: str
) -> None:
    with pytest.raises(SourceError) as error:
        opened(f"rtsp://viewer:{password}@127.0.0.1:1/live")
    assert "cret" not in error.value.message
    assert "viewer@127.0.0.1:1/live cannot be opened" in error.value.message
    assert "%2F" in error.value.hint


def test_a_camera_that_does_not_answer_is_an_error_after_the_time_for_it() -> None:
    with rtsp_camera(silent=True) as camera, pytest.raises(SourceError, match="cannot be opened"):
        NetworkCamera(camera.url, open_timeout_s=0.3, read_timeout_s=0.3)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server for the test's folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_video_over_http_is_a_camera_too(web: str, make_clip: MakeClip) -> None:
    make_clip("live.ts", frames=10, codec="mpeg4")
    frames, message = read(NetworkCamera(f"{web}/live.ts"))
    assert len(frames) == 10
    assert "ended its stream" in message


def test_a_missing_page_is_an_error(web: str) -> None:
    with pytest.raises(SourceError, match="404"):
        NetworkCamera(f"{web}/nothing.ts")


def test_a_page_that_is_no_video_is_an_error(web: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>" * 100)
    with pytest.raises(SourceError):
        NetworkCamera(f"{web}/page.html")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://u:p@h:554/a?token=t", "rtsp://u@h:554/a"),
        ("rtsp://h/a", "rtsp://h/a"),
        ("rtsp://u:p@q@h/a", "rtsp://u@h/a"),
        ("rtsp://u:p/q@h/a", "rtsp://u@h/a"),
        ("rtsp://u:p#q@h/a", "rtsp://u@h/a"),
        ("rtsp://u:p?q@h/a", "rtsp://u@h/a"),
        ("rtsp://u:p[q@h/a", "rtsp://u@h/a"),
        ("rtsp://u:p]q:r@h:554/a", "rtsp://u@h:554/a"),
        ("rtsp://:p@h/a", "rtsp://h/a"),
        ("rtsp://u@h/a", "rtsp://u@h/a"),
        ("rtsp://u:p?q@h/a?token=t", "rtsp://u@h/a"),
        ("rtsp://h/a?token=t@x", "rtsp://h/a"),
        ("rtsp://[::1]:554/a", "rtsp://[::1]:554/a"),
        ("rtsp://u:p@[::1]:554/a", "rtsp://u@[::1]:554/a"),
        ("http://h/a#x\x1b[2J", "http://h/a"),
    ],
)
def test_urls_are_shown_without_secrets(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_a_camera_can_be_left_early() -> None:
    with rtsp_camera(frames=50) as camera:
        source = NetworkCamera(camera.url)
        assert len(list(islice(source, 3))) == 3
        source.close()
