"""Eight cameras with real weights and a real clip: the live section of `make bench`, without its clock."""

from __future__ import annotations

import pytest

from tests.benchmarks.cameras.live import CAMERAS, FPS, live_cameras
from tests.benchmarks.cameras.load import fields, play
from tests.benchmarks.cameras.measured_server import measured_server
from tests.benchmarks.cameras.pictures import CAST, crowd

pytestmark = [pytest.mark.models, pytest.mark.data, pytest.mark.slow, pytest.mark.timeout(300)]

SECONDS = 60


@pytest.fixture(scope="module")
def run():
    """What eight cameras were answered, and the server's own books afterwards."""
    images = fields(crowd(1280))
    with measured_server() as server:
        before = server.samples()
        loaded = play(server.address, live_cameras(images, frames=SECONDS * FPS), 10 * SECONDS)
        return loaded, before, server.samples()


def test_every_frame_is_answered_once_with_a_result_or_a_reason(run):
    loaded, _, _ = run
    assert [len(camera.due_s) for camera in loaded.cameras] == [SECONDS * FPS] * CAMERAS
    assert loaded.unaccounted() == 0
    assert loaded.kinds()["error"] == 0
    dropped = [a for camera in loaded.cameras for a in camera.answers.values() if a.kind == "dropped"]
    assert all(answer.reason.startswith("DROP_REASON_") for answer in dropped)


def test_every_camera_gets_results_with_faces_and_nobody_is_named_who_is_not_enrolled(run):
    loaded, _, _ = run
    for camera in loaded.cameras:
        results = [answer for answer in camera.answers.values() if answer.kind == "result"]
        assert any(answer.faces for answer in results)
        assert {name for answer in results for name in answer.names} <= set(CAST)


def test_the_server_s_metrics_say_the_same_as_the_cameras(run):
    loaded, before, after = run

    def counted(name, **labels):
        key = (name, tuple(sorted(labels.items())))
        return after.get(key, 0) - before.get(key, 0)

    assert counted("facestream_frames_received_total") == loaded.sent()
    kinds = {kind: counted("facestream_frames_total", outcome=kind) for kind in ("result", "dropped", "error")}
    assert kinds == {**dict.fromkeys(kinds, 0), **loaded.kinds()}
    assert counted("facestream_stage_duration_seconds_count", stage="answer") == loaded.kinds()["result"]
