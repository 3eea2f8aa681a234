from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator
from itertools import islice

import av
import pytest

from clients.backoff import Backoff
from clients.errors import SourceError
from clients.frames import Frame
from clients.sources.network import NetworkCamera
from clients.sources.reopening import Reopening
from clients.sources.source import Frames
from tests.clients.conftest import frame
from tests.clients.rtsp_camera import rtsp_camera


def quick() -> Backoff:
    return Backoff(0.001, 0.002, random.Random(0))


def breaking(*numbers: int) -> Callable[[], Frames]:
    """Opens a source that gives a few frames and then fails."""

    def frames() -> Iterator[Frame]:
        yield from (frame(n, captured_at_ns=1_000 * (10 + n)) for n in numbers)
        raise SourceError("the cable is gone")

    return lambda: Frames(frames(), live=True)


def test_a_camera_that_breaks_off_is_opened_again_and_numbers_go_on(caplog: pytest.LogCaptureFixture) -> None:
    source = Reopening(breaking(1, 2), backoff=quick())
    with caplog.at_level(logging.WARNING):
        stamps = [each.stamp for each in islice(source, 5)]
    source.interrupt()
    source.close()
    assert [stamp.sequence for stamp in stamps] == [1, 2, 3, 4, 5]
    assert [stamp.position_ns for stamp in stamps] == [0, 1000, 0, 1000, 0]
    assert "the cable is gone; it is opened again" in caplog.text


def test_frames_that_the_source_left_out_are_counted_too() -> None:
    source = Reopening(breaking(1, 4, 7), backoff=quick())
    sequences = [each.stamp.sequence for each in islice(source, 7)]
    source.close()
    assert sequences == [1, 4, 7, 8, 11, 14, 15]


def test_the_first_opening_is_not_repeated() -> None:
    attempts = []

    def fail() -> Frames:
        attempts.append(1)
        raise SourceError("no such host")

    with pytest.raises(SourceError, match="no such host"):
        Reopening(fail, backoff=quick())
    assert len(attempts) == 1


def test_later_openings_are_repeated_until_one_succeeds(caplog: pytest.LogCaptureFixture) -> None:
    failures = [False, True, True, False]
    open_good = breaking(1)

    def sometimes() -> Frames:
        if failures.pop(0):
            raise SourceError("no route to host")
        return open_good()

    source = Reopening(sometimes, backoff=quick())
    with caplog.at_level(logging.WARNING):
        assert len(list(islice(source, 2))) == 2
    assert caplog.text.count("no route to host") == 2
    source.close()


def test_a_reader_that_waits_for_the_camera_can_be_interrupted() -> None:
    source = Reopening(breaking(), backoff=Backoff(60, 60))
    frames: list[Frame] = []
    reader = threading.Thread(target=lambda: frames.extend(source))
    reader.start()
    source.interrupt()
    reader.join(timeout=10)
    assert not reader.is_alive()
    assert frames == []


@pytest.mark.skipif("libx264" not in av.codecs_available, reason="this PyAV cannot encode H.264")
def test_an_rtsp_camera_that_hangs_up_is_called_again() -> None:
    with rtsp_camera(frames=4) as camera:
        source = Reopening(lambda: NetworkCamera(camera.url), backoff=quick())
        sequences = [each.stamp.sequence for each in islice(source, 10)]
        source.interrupt()
        source.close()
    assert sequences == list(range(1, 11))
    assert sum(request.startswith("PLAY") for request in camera.requests) >= 3
