"""The instrument itself: messages, books and fairness, against the fake server and by hand."""

from __future__ import annotations

import itertools
import time

import pytest
from facestream.v1 import image_pb2, recognition_pb2

from clients.fake.script import Drop, Say, matching, stranger, unsure
from clients.fake.server import served
from tests.benchmarks.cameras.load import Answer, Camera, Loaded, Played, fields, frame_message, image_field, play
from tests.benchmarks.cameras.overload import jain
from tests.benchmarks.cameras.peer_protocol import _stride


@pytest.mark.parametrize("size", [0, 1, 127, 128, 20_000, 3_000_000])
@pytest.mark.parametrize("sequence", [1, 300, 2**40])
@pytest.mark.parametrize("captured_at_ns", [0, 1_700_000_000_123_456_789])
def test_a_frame_put_together_by_hand_is_the_message(size, sequence, captured_at_ns):
    data = bytes(size)
    message = recognition_pb2.StreamRecognizeRequest.FromString(
        frame_message(sequence, image_field(data), captured_at_ns)
    )
    assert message.frame.image == image_pb2.Image(codec=image_pb2.IMAGE_CODEC_JPEG, data=data)
    assert message.frame.sequence == sequence
    assert message.frame.HasField("captured_at") == bool(captured_at_ns)
    assert message.frame.captured_at.ToNanoseconds() == captured_at_ns


def test_a_camera_plays_its_frames_in_turn_and_books_one_answer_for_each():
    with served(lambda frame: Say((matching("Ada"), stranger()))) as server:
        camera = Camera("door", fields([b"a", b"b"]), frames=5, in_flight=2)
        loaded = play(server.target, [camera], 30)
    (played,) = loaded.cameras
    assert loaded.kinds() == {"result": 5}
    assert (loaded.sent(), loaded.unaccounted()) == (5, 0)
    assert {(answer.names, answer.faces) for answer in played.answers.values()} == {(("Ada",), 2)}


def test_faces_of_whom_nothing_is_said_yet_are_not_decided():
    seen = {1: (matching("Ada"), stranger()), 2: (), 3: (matching("Ada"), unsure())}
    with served(lambda frame: Say(seen[frame.sequence])) as server:
        loaded = play(server.target, [Camera("door", fields([b"a"]), frames=3, in_flight=1)], 30)
    assert loaded.decided() == 3 / 4


def test_drops_are_booked_with_their_reason():
    with served(lambda frame: Drop()) as server:
        loaded = play(server.target, [Camera("door", fields([b"a"]), frames=2)], 30)
    assert loaded.kinds() == {"dropped": 2}
    assert {a.reason for a in loaded.cameras[0].answers.values()} == {"DROP_REASON_SUPERSEDED"}


def test_cameras_play_at_the_same_time_each_at_its_own_rate():
    with served(lambda frame: Say(())) as server:
        cameras = [Camera(f"{fps}", fields([b"a"]), fps=fps, frames=frames) for fps, frames in ((50, 5), (100, 7))]
        loaded = play(server.target, cameras, 30)
    assert [len(camera.due_s) for camera in loaded.cameras] == [5, 7]
    for played, period in zip(loaded.cameras, (0.02, 0.01), strict=True):
        gaps = [later - earlier for earlier, later in itertools.pairwise(played.due_s.values())]
        assert gaps == pytest.approx([period] * len(gaps))


def test_a_camera_that_never_reads_ends_when_it_is_told_to():
    with served(lambda frame: Say(())) as server:
        loaded = play(server.target, [Camera("deaf", fields([b"a"]), fps=50, reads=False)], 0.5)
    assert loaded.cameras[0].answers == {}


def test_ages_count_from_the_due_time_and_of_results_only():
    played = Played("door", due_s={1: 10.0, 2: 11.0, 3: 12.0})
    played.answers = {1: Answer("result", 10.5), 2: Answer("dropped", 11.1)}
    assert played.ages_ms() == [500.0]
    assert played.ages_ms(since_s=10.5) == []
    assert played.unanswered() == 1
    assert Loaded([played], 10.0, 12.0, 0.5).results_per_second() == 0.5
    assert Loaded([played], 10.0, 12.0, 0.5).own_cores() == 0.25


def test_jain_s_index_is_one_for_equal_shares_and_one_over_n_for_one_who_has_all():
    assert jain([3, 3, 3, 3]) == pytest.approx(1)
    assert jain([8, 0, 0, 0]) == pytest.approx(0.25)
    assert jain([0, 0]) == 0


@pytest.mark.parametrize("count", [1, 2, 7, 37, 120, 275])
def test_a_peer_s_stride_leads_through_all_frames(count):
    assert {place * _stride(count) % count for place in range(count)} == set(range(count))


def test_the_benchmark_s_clock_is_the_one_that_answers_are_booked_by():
    began = time.monotonic()
    with served(lambda frame: Say(())) as server:
        loaded = play(server.target, [Camera("door", fields([b"a"]), frames=1)], 5)
    assert began <= loaded.began_s <= loaded.cameras[0].answers[1].at_s <= time.monotonic()
