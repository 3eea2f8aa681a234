"""What passes through a stream is booked, per camera and in sum."""

from __future__ import annotations

import pytest
from facestream.v1 import face_pb2, recognition_pb2

from server.rpc.books import ServerBooks
from server.rpc.wire import duration

MS = 10**6
SECOND = 10**9


class Time:
    """A clock that a test moves."""

    def __init__(self):
        self.ns = 100 * SECOND

    def __call__(self):
        return self.ns


@pytest.fixture
def now():
    return Time()


@pytest.fixture
def books(now, metrics):
    return ServerBooks(now, metrics)


def config(camera="door"):
    return recognition_pb2.StreamRecognizeRequest(config=recognition_pb2.StreamConfig(camera=camera))


def frame(sequence):
    return recognition_pb2.StreamRecognizeRequest(frame=recognition_pb2.CameraFrame(sequence=sequence))


def ready(gallery="tenants/default/galleries/default"):
    return recognition_pb2.StreamRecognizeResponse(ready=recognition_pb2.StreamReady(session="s1", gallery=gallery))


def result(total_ns, *tracks, **stages):
    timing = recognition_pb2.FrameTiming(
        total=duration(total_ns), **{stage: duration(spent_ns) for stage, spent_ns in stages.items()}
    )
    faces = [face_pb2.Face(track=track) for track in tracks]
    return recognition_pb2.StreamRecognizeResponse(
        result=recognition_pb2.FrameResult(timing=timing, faces=faces, width=640, height=360)
    )


def dropped(reason):
    return recognition_pb2.StreamRecognizeResponse(dropped=recognition_pb2.FrameDropped(reason=reason))


async def received(tap, *messages):
    async def said():
        for message in messages:
            yield message

    return [message async for message in tap.requests(said())]


async def taken(message):
    """A transport that takes everything."""


async def test_messages_pass_unchanged(books):
    said, heard = [config(), frame(1)], []

    async def send(message):
        heard.append(message)

    with books.camera() as tap:
        assert await received(tap, *said) == said
        await tap.write(send, ready())
    assert heard == [ready()]


async def test_frames_are_counted_by_what_became_of_them(books, now, count):
    with books.camera() as tap:
        await received(tap, config("hall"), *(frame(number) for number in range(1, 8)))
        superseded, too_old = recognition_pb2.DROP_REASON_SUPERSEDED, recognition_pb2.DROP_REASON_TOO_OLD
        error = recognition_pb2.StreamRecognizeResponse()
        error.error.code = 3
        answers = [ready(), result(MS, "a", "b", ""), dropped(superseded), dropped(superseded), dropped(too_old), error]
        for answer in answers:
            await tap.write(taken, answer)
        now.ns += 2 * SECOND
        (camera,) = books.statistics().cameras
        assert count("facestream_tracks") == 2
    assert (camera.camera, camera.session, camera.connected.seconds) == ("hall", "s1", 2)
    assert (camera.received_count, camera.result_count, camera.error_count) == (7, 1, 1)
    assert [(drop.reason, drop.frame_count, drop.frames_per_second) for drop in camera.drops] == [
        (superseded, 2, 1.0),
        (too_old, 1, 0.5),
    ]
    assert (camera.received_per_second, camera.results_per_second) == (3.5, 0.5)
    assert (camera.face_count, camera.track_count, camera.width, camera.height) == (3, 2, 640, 360)
    assert count("facestream_frames_received_total") == 7
    assert count("facestream_tracks") == 0


async def test_latencies_are_those_of_the_last_seconds(books, now):
    with books.camera() as tap:
        for milliseconds in (500, *range(1, 101)):
            await tap.write(taken, result(milliseconds * MS, detect=milliseconds * MS // 2))
            now.ns += 9 * SECOND if milliseconds == 500 else 20 * MS
        statistics = books.statistics()
    (camera,) = statistics.cameras
    stages = {stage.stage: stage for stage in statistics.stages}
    assert camera.latency_p50.ToNanoseconds() == pytest.approx(50.5 * MS)
    assert camera.latency_p95.ToNanoseconds() == pytest.approx(95.05 * MS)
    assert stages["detect"].p50.ToNanoseconds() == pytest.approx(25.25 * MS)
    assert list(stages) == ["detect", "total", "answer"]
    assert stages["total"].frame_count == 100


async def test_a_camera_without_results_has_no_latency(books):
    with books.camera() as tap:
        await received(tap, config(), frame(1))
        (camera,) = books.statistics().cameras
    assert not camera.HasField("latency_p50")
    assert not books.statistics().stages


async def test_an_answer_that_nobody_took_is_not_booked(books):
    async def gone(message):
        raise ConnectionError

    with books.camera() as tap:
        with pytest.raises(ConnectionError):
            await tap.write(gone, result(MS))
        (camera,) = books.statistics().cameras
    assert camera.result_count == 0


async def test_the_time_until_the_transport_takes_an_answer_is_a_stage(books, now, count):
    async def slow(message):
        now.ns += 30 * MS

    with books.camera() as tap:
        await tap.write(slow, result(MS))
    (answer,) = (stage for stage in books.statistics().stages if stage.stage == "answer")
    assert answer.p50.ToNanoseconds() == 30 * MS
    assert count("facestream_stage_duration_seconds_sum", stage="answer") == pytest.approx(0.03)


async def test_a_camera_is_listed_as_long_as_its_stream_is_open(books):
    with books.camera() as first:
        await received(first, config("first"))
        with books.camera() as second:
            await received(second, config("second"))
            assert [camera.camera for camera in books.statistics().cameras] == ["first", "second"]
    assert not books.statistics().cameras


def test_batches_are_counted_by_network(books, now, count):
    for images in (1, 8, 3):
        books.ran("embedder", images, 4 * MS)
    books.ran("detector", 1, MS)
    now.ns += 2 * SECOND
    detector, embedder = books.statistics().networks
    assert (detector.network, detector.batch_count, detector.image_count) == ("detector", 1, 1)
    assert (embedder.batch_count, embedder.image_count, embedder.largest_batch) == (3, 12, 8)
    assert (embedder.images_per_batch, embedder.batches_per_second) == (4, 1.5)
    assert embedder.load == pytest.approx(0.006)
    assert count("facestream_batch_images_sum", network="embedder") == 12
    assert count("facestream_batch_duration_seconds_count", network="detector") == 1


def test_the_server_says_how_long_it_runs_and_what_it_uses(books, now):
    now.ns += 60 * SECOND
    statistics = books.statistics()
    assert (statistics.uptime.seconds, statistics.period.seconds) == (60, 10)
    assert statistics.cpu_time.ToNanoseconds() > 0
    assert statistics.resident_bytes > 10**6
