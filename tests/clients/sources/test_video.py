from __future__ import annotations

import logging
from pathlib import Path

import av
import pytest

from clients.errors import SourceError, SourceNotFoundError
from clients.sources.video import VideoFile
from tests.clients.conftest import MakeClip, grey_of


def test_every_frame_comes_in_order_at_its_time(make_clip: MakeClip) -> None:
    source = VideoFile(make_clip(frames=20, fps=10))
    frames = list(source)
    source.close()
    assert [frame.stamp.sequence for frame in frames] == list(range(1, 21))
    assert [frame.stamp.position_ns for frame in frames] == [n * 10**8 for n in range(20)]
    assert all(frame.image.shape == (120, 160, 3) for frame in frames)
    for frame in frames:
        assert abs(float(frame.image.mean()) - grey_of(frame.stamp.sequence)) < 8
    assert (source.fps, source.expected, source.live) == (10, 20, False)


def test_frames_are_thinned_by_the_videos_time_and_keep_their_numbers(make_clip: MakeClip) -> None:
    source = VideoFile(make_clip(frames=20, fps=10), fps=5)
    assert [frame.stamp.sequence for frame in source] == list(range(1, 21, 2))
    assert (source.fps, source.expected) == (5, 10)
    source.close()


def test_a_higher_rate_than_the_videos_changes_nothing(make_clip: MakeClip) -> None:
    source = VideoFile(make_clip(frames=5, fps=10), fps=100)
    assert len(list(source)) == source.expected == 5
    assert source.fps == 10
    source.close()


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"gone\.mp4: no such file"):
        VideoFile(tmp_path / "gone.mp4")


@pytest.mark.parametrize("content", [b"", b"hello", b"\0" * 5000])
def test_a_file_that_is_no_video_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"film\.mp4 cannot be read as a video"):
        VideoFile(path)


def test_a_video_without_its_index_is_refused(make_clip: MakeClip) -> None:
    path = make_clip(frames=20)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(SourceError, match="cannot be read as a video"):
        VideoFile(path)


def test_a_truncated_video_gives_what_is_there_and_says_so(
    make_clip: MakeClip, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_clip("clip.mkv", frames=60)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    source = VideoFile(path)
    with caplog.at_level(logging.WARNING):
        frames = list(source)
    source.close()
    assert 10 < len(frames) < 60
    assert f"{len(frames)} frames could be read of 60" in caplog.text
    for frame in frames[:-1]:
        assert abs(float(frame.image.mean()) - grey_of(frame.stamp.sequence)) < 8


def test_a_truncated_mp4_says_how_many_frames_are_missing(
    tmp_path: Path, make_clip: MakeClip, caplog: pytest.LogCaptureFixture
) -> None:
    whole = make_clip("whole.mp4", frames=60)
    path = tmp_path / "early.mp4"
    # The index at the front, as a download has it; then the end is cut off.
    with av.open(str(whole)) as source, av.open(str(path), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    video = VideoFile(path)
    with caplog.at_level(logging.WARNING):
        frames = list(video)
    video.close()
    assert 0 < len(frames) < 60
    (record,) = [record for record in caplog.records if record.name.startswith("clients")]
    assert f"{len(frames)} frames could be read of 60" in record.getMessage()


def test_a_file_with_sound_only_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        silence = av.AudioFrame(format="s16", layout="mono", samples=800)
        silence.rate = 8000
        for plane in silence.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    with pytest.raises(SourceError, match="holds no video"):
        VideoFile(path)


def test_names_with_escapes_are_shown_without_them(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError) as error:
        VideoFile(tmp_path / "\x1b[31mred.mp4")
    assert "\x1b" not in error.value.message


@pytest.mark.data
def test_the_real_clip_gives_all_its_frames(real_data: Path) -> None:
    source = VideoFile(real_data / "clips" / "hamilton.mp4")
    stamps = [frame.stamp for frame in source]
    source.close()
    assert source.expected == len(stamps) == 275
    assert abs(stamps[-1].position_ns / 1e9 - 274 / 29.97) < 1.0
