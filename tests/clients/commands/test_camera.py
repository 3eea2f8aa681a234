from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import pytest
from facestream.v1 import image_pb2, recognition_pb2

from clients import camera
from clients.commands.run import run
from clients.fake.script import Abort, Fail, Hang, Say, Step, matching, stranger
from clients.fake.server import FakeServer
from tests.clients.conftest import MakeClip

Captured = pytest.CaptureFixture[str]


def ada_then_stranger(message: recognition_pb2.CameraFrame) -> Step:
    if message.sequence <= 5:
        return Say((matching("Ada", distance=0.9 - message.sequence / 10),))
    return Say((stranger(),))


def watch(server: FakeServer, *arguments: object) -> int:
    return run(camera.app, [*map(str, arguments), "--server", server.target])


def test_a_file_ends_with_a_table_of_who_was_seen_when(
    threaded: FakeServer, make_clip: MakeClip, capsys: Captured
) -> None:
    threaded.recognition.script = ada_then_stranger
    assert watch(threaded, make_clip(frames=10, fps=10), "--every-frame", "--camera", "door") == 0
    captured = capsys.readouterr()
    head, ada, unknown = captured.out.splitlines()
    assert head.split()[:1] == ["person"]
    assert ada.split()[:4] == ["Ada", "0:00.0", "0:00.4", "5"]
    assert "0.40 of 1.10" in ada
    assert unknown.split()[:4] == ["(unknown)", "0:00.5", "0:00.9", "5"]
    assert "10 frames: 10 recognised" in captured.err
    assert threaded.recognition.configs[0].camera == "door"
    assert threaded.recognition.configs[0].gallery == "tenants/default/galleries/default"


def test_json_lines_hold_every_frame_once_and_the_table_goes_to_standard_error(
    threaded: FakeServer, make_clip: MakeClip, capsys: Captured
) -> None:
    threaded.recognition.script = ada_then_stranger
    assert watch(threaded, make_clip(frames=8), "--every-frame", "--output", "jsonl") == 0
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert [line["sequence"] for line in lines] == list(range(1, 9))
    assert [line["faces"][0]["name"] for line in lines] == ["Ada"] * 5 + [None] * 3
    assert "Ada" in captured.err


def test_a_file_in_real_time_accounts_for_every_frame(
    threaded: FakeServer, make_clip: MakeClip, capsys: Captured
) -> None:
    threaded.recognition.script = lambda _: Say(after_s=0.08)
    assert watch(threaded, make_clip(frames=30, fps=60), "--output", "jsonl") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(line["sequence"] for line in lines) == list(range(1, 31))
    assert {line["outcome"] for line in lines} == {"result", "dropped"}


def test_a_folder_is_streamed_at_its_rate(threaded: FakeServer, pictures: Path, capsys: Captured) -> None:
    assert watch(threaded, pictures, "--fps", 50, "--output", "jsonl") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["position_s"] for line in sorted(lines, key=lambda line: line["sequence"])] == [0, 0.02, 0.04]


def test_the_annotated_video_holds_the_recognised_frames(
    threaded: FakeServer, make_clip: MakeClip, tmp_path: Path
) -> None:
    threaded.recognition.script = ada_then_stranger
    out = tmp_path / "annotated.mp4"
    assert watch(threaded, make_clip(frames=10, fps=10), "--every-frame", "--save", out) == 0
    with av.open(str(out)) as container:
        frames = list(container.decode(video=0))
    assert [frame.time for frame in frames] == pytest.approx([n / 10 for n in range(10)], abs=0.005)
    # A uniform grey picture has a box drawn on it now.
    assert all(frame.to_ndarray(format="bgr24").std() > 10 for frame in frames)


def test_what_was_seen_is_shown_also_when_the_video_cannot_be_completed(
    threaded: FakeServer, make_clip: MakeClip, tmp_path: Path, capsys: Captured
) -> None:
    video = tmp_path / "annotated.mp4"

    def in_the_way(message: recognition_pb2.CameraFrame) -> Step:
        video.mkdir(exist_ok=True)
        return ada_then_stranger(message)

    threaded.recognition.script = in_the_way
    assert watch(threaded, make_clip(frames=10), "--every-frame", "--save", video) == 1
    captured = capsys.readouterr()
    assert [line.split()[0] for line in captured.out.splitlines()] == ["person", "Ada", "(unknown)"]
    assert "10 frames: 10 recognised" in captured.err
    assert "annotated.mp4 cannot be written" in captured.err


def test_frames_go_out_at_the_asked_size(threaded: FakeServer, make_clip: MakeClip) -> None:
    import cv2
    import numpy as np

    assert watch(threaded, make_clip(frames=2), "--every-frame", "--max-width", 80, "--quality", 60) == 0
    for sent in threaded.recognition.frames:
        assert cv2.imdecode(np.frombuffer(sent.image.data, np.uint8), cv2.IMREAD_COLOR).shape == (60, 80, 3)


@pytest.mark.parametrize(
    ("flag", "words"), [([], "JPEG quality 70\n"), (["--ignore-advice"], "JPEG quality 70 (ignored)\n")]
)
def test_the_summary_says_what_the_server_advised(
    threaded: FakeServer, make_clip: MakeClip, capsys: Captured, flag: list[str], words: str
) -> None:
    threaded.recognition.advice = recognition_pb2.FlowAdvice(credits=3, jpeg_quality=70)
    assert watch(threaded, make_clip(frames=2), "--every-frame", *flag) == 0
    assert f"the server advised 3 frames under way, {words}" in capsys.readouterr().err


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_packets_are_forwarded_without_being_touched(
    threaded: FakeServer, make_clip: MakeClip, capsys: Captured, codec: str
) -> None:
    threaded.recognition.script = ada_then_stranger
    assert watch(threaded, make_clip(frames=10, codec=codec), "--forward", "--every-frame") == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1].split()[0] == "Ada"
    assert "10 frames: 10 recognised" in captured.err
    wanted = image_pb2.IMAGE_CODEC_H264 if codec == "libx264" else image_pb2.IMAGE_CODEC_HEVC
    assert {frame.image.codec for frame in threaded.recognition.frames} == {wanted}


def test_the_summary_says_what_advice_packets_cannot_follow(
    threaded: FakeServer, make_clip: MakeClip, capsys: Captured
) -> None:
    threaded.recognition.advice = recognition_pb2.FlowAdvice(credits=3, jpeg_quality=70)
    assert watch(threaded, make_clip(frames=2, codec="libx264"), "--forward") == 0
    assert "JPEG quality 70 (packets keep to the first only)" in capsys.readouterr().err


def test_names_with_escapes_are_harmless_everywhere(
    threaded: FakeServer, make_clip: MakeClip, capsys: Captured
) -> None:
    threaded.recognition.script = lambda _: Say((matching("\x1b[2J[red]Ada\x07"),))
    clip = make_clip(frames=2)
    for output in ("table", "jsonl"):
        assert watch(threaded, clip, "--every-frame", "--output", output) == 0
        captured = capsys.readouterr()
        assert "[red]Ada" in captured.out
        assert "\x1b" not in captured.out + captured.err


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["nowhere.mp4"], 3, "nowhere.mp4"),
        (["rtsp://127.0.0.1:1/x"], 1, "Connection refused"),
        (["CLIP", "--quality", "0"], 2, "quality"),
        (["CLIP", "--max-width", "3"], 2, "width"),
        (["CLIP", "--target-far", "0.9"], 2, "target-far"),
        (["CLIP", "--save", "out.avi"], 2, ".mp4"),
        (["CLIP", "--save", "CLIP"], 2, "overwrite"),
        (["CLIP", "--frobnicate"], 2, "frobnicate"),
        (["CLIP", "--forward"], 1, "encoded as mpeg4"),
        (["nowhere.mp4", "--forward"], 3, "nowhere.mp4"),
        (["0", "--forward"], 2, "gives pictures"),
        (["CLIP", "--forward", "--save", "out.mp4"], 2, "--save needs pictures"),
        (["CLIP", "--forward", "--show"], 2, "--show needs pictures"),
        (["CLIP", "--forward", "--quality", "80"], 2, "--quality needs pictures"),
        (["CLIP", "--forward", "--max-width", "640"], 2, "--max-width needs pictures"),
        (["CLIP", "--forward", "--fps", "5"], 2, "--fps needs pictures"),
        ([], 2, "SOURCE"),
    ],
)
def test_mistakes_have_their_exit_codes(
    threaded: FakeServer, make_clip: MakeClip, capsys: Captured, arguments: list[str], code: int, text: str
) -> None:
    clip = str(make_clip(frames=2))
    assert watch(threaded, *(clip if word == "CLIP" else word for word in arguments)) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert text in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a display")
def test_a_window_without_a_display_is_an_error_with_a_way_out(
    threaded: FakeServer, make_clip: MakeClip, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert watch(threaded, make_clip(frames=2), "--show") == 1
    assert "--save" in capsys.readouterr().err


def test_a_server_that_is_not_there_exits_5(make_clip: MakeClip, capsys: Captured) -> None:
    code = run(camera.app, [str(make_clip(frames=2)), "--server", "127.0.0.1:1", "--max-reconnects", "0"])
    assert code == 5
    said = capsys.readouterr().err
    assert "no answer from 127.0.0.1:1" in said
    assert "nobody was seen" not in said  # nobody looked


def test_what_was_seen_before_the_server_refused_is_shown(
    threaded: FakeServer, make_clip: MakeClip, capsys: Captured
) -> None:
    import grpc

    threaded.recognition.script = lambda message: (
        Say((matching("Ada"),))
        if message.sequence < 4
        else Abort(grpc.StatusCode.FAILED_PRECONDITION, "no more cameras")
    )
    assert watch(threaded, make_clip(frames=10), "--every-frame") == 4
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1].split()[0] == "Ada"
    assert "error: no more cameras" in captured.err


def test_not_one_recognised_frame_is_a_failure_with_the_reason(
    threaded: FakeServer, make_clip: MakeClip, capsys: Captured
) -> None:
    threaded.recognition.script = lambda _: Fail("IMAGE_TOO_LARGE", "the picture is too large")
    assert watch(threaded, make_clip(frames=3), "--every-frame") == 1
    err = capsys.readouterr().err
    assert "not one of 3 frames was recognised" in err
    assert "the picture is too large" in err


def start_watching(server: FakeServer, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "clients.camera",
            str(folder),
            "--server",
            server.target,
            "--output",
            "jsonl",
            *arguments,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f".{os.pathsep}proto"},
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_stream_in_order(threaded: FakeServer, pictures: Path, number: signal.Signals) -> None:
    threaded.recognition.script = lambda _: Say((matching("Ada"),))
    # One picture every ten seconds: the command is waiting when the signal comes.
    process = start_watching(threaded, pictures, "--fps", "0.1")
    with process:
        first = process.stdout.readline()
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert json.loads(first)["outcome"] == "result"
    assert "stopping" in err
    assert "Ada" in err
    assert "Traceback" not in err


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_second_interrupt_ends_a_command_that_waits_for_a_hanging_server(
    threaded: FakeServer, pictures: Path
) -> None:
    threaded.recognition.script = lambda message: Say() if message.sequence == 1 else Hang()
    process = start_watching(threaded, pictures, "--every-frame")
    with process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        while "stopping" not in (line := process.stderr.readline()):
            assert line, "the command ended too early"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_a_reader_who_leaves_ends_the_command_without_a_traceback(threaded: FakeServer, make_clip: MakeClip) -> None:
    process = start_watching(threaded, make_clip(frames=300), "--every-frame")
    with process:
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 1
    assert "Traceback" not in err
    assert "BrokenPipe" not in err
