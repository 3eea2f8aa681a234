"""A video's packets: what a decoder makes of them is what a player shows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import av
import pytest

from clients.errors import SourceError, SourceNotFoundError, UsageError
from clients.frames import PacketCodec, PacketFrame
from clients.sources.open import open_packets
from clients.sources.packets import PacketCamera, PacketFile
from tests.clients.conftest import MakeClip
from tests.clients.rtsp_camera import rtsp_camera
from tests.encoded import Encoded, encoded, level_of

CODECS = list(PacketCodec)


def write_clip(path: Path, *, codec: str, b_frames: int = 0, count: int = 14, group: int = 5) -> Path:
    """A video of which picture N, from 0, looks like `level_of` N."""
    packets = encoded(count, codec=codec, b_frames=b_frames, group=group)
    delay = 2 if b_frames else 0
    times = [(each.shown + delay, number) for number, each in enumerate(packets)]
    return muxed(path, codec, packets, times, Fraction(1, 25))


def muxed(path: Path, codec: str, packets: Sequence[Encoded], times: Sequence[tuple[int, int]], unit: Fraction) -> Path:
    """A video of these packets, each shown and decoded at such a multiple of the unit, seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream({"h264": "libx264", "hevc": "libx265"}[codec], rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        if codec == "hevc":
            stream.options = {"x265-params": "log-level=none"}
        container.start_encoding()
        for each, (shown_at, decoded_at) in zip(packets, times, strict=True):
            packet = av.Packet(each.data)
            packet.pts, packet.dts, packet.time_base = shown_at, decoded_at, unit
            packet.is_keyframe, packet.stream = each.key, stream
            container.mux(packet)
    return path


def shown(packets: list[PacketFrame]) -> list[tuple[int, int]]:
    """Which packet's picture looks like what, in the order in which a decoder shows them."""
    decoder = av.CodecContext.create(packets[0].codec, "r")
    pictures = []
    for each in packets:
        packet = av.Packet(each.data)
        packet.pts = packet.dts = each.stamp.sequence
        pictures += decoder.decode(packet)
    pictures += decoder.decode(None)
    return [(picture.pts, level_of(picture.to_ndarray(format="bgr24"))) for picture in pictures]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("b_frames", [0, 3])
def test_the_packets_of_a_file_can_be_decoded_from_the_first_on(
    tmp_path: Path, codec: PacketCodec, suffix: str, b_frames: int
) -> None:
    source = PacketFile(write_clip(tmp_path / f"clip.{suffix}", codec=codec, b_frames=b_frames))
    packets = list(source)
    source.close()
    assert [packet.stamp.sequence for packet in packets] == list(range(1, 15))
    assert {packet.codec for packet in packets} == {codec}
    assert [number for _, number in shown(packets)] == [number % 10 for number in range(14)]
    assert [packet.key for packet in packets] == [number % 5 == 0 for number in range(14)]
    assert (source.live, round(source.fps)) == (False, 25)


@pytest.mark.parametrize("codec", CODECS)
def test_a_decoder_can_begin_with_every_key_frame(tmp_path: Path, codec: PacketCodec) -> None:
    packets = list(PacketFile(write_clip(tmp_path / "clip.mp4", codec=codec)))
    assert [number for _, number in shown(packets[5:])] == [5, 6, 7, 8, 9, 0, 1, 2, 3]
    assert [number for _, number in shown(packets[10:])] == [0, 1, 2, 3]


@pytest.mark.parametrize("codec", CODECS)
def test_with_b_frames_positions_are_those_of_showing_and_packets_come_in_order(
    tmp_path: Path, codec: PacketCodec
) -> None:
    source = PacketFile(write_clip(tmp_path / "clip.mp4", codec=codec, b_frames=3))
    packets = list(source)
    positions = [packet.stamp.position_ns for packet in packets]
    assert positions != sorted(positions)
    assert sorted(positions) == pytest.approx([n / 25 * 1e9 for n in range(14)], abs=1e6)
    assert [packet.due_ns for packet in packets] == pytest.approx([n / 25 * 1e9 for n in range(14)], abs=1e6)
    assert source.held_back == 2
    source.close()


@pytest.mark.parametrize("codec", CODECS)
def test_with_b_frames_packets_are_stamped_so_that_time_goes_on_evenly_in_the_order_of_showing(
    tmp_path: Path, codec: PacketCodec
) -> None:
    frames = 0

    def clock() -> int:  # packets come at their time
        nonlocal frames
        frames += 1
        return frames * 40_000_000

    path = write_clip(tmp_path / "clip.mp4", codec=codec, b_frames=3)
    packets = sorted(PacketFile(path, clock=clock), key=lambda packet: packet.stamp.position_ns)
    taken = [packet.stamp.captured_at_ns for packet in packets]
    assert [after - before for before, after in pairwise(taken)] == pytest.approx([40_000_000] * 13, abs=2e6)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_what_a_decoder_holds_back_is_known_also_where_the_rate_varies(
    tmp_path: Path, codec: PacketCodec, suffix: str
) -> None:
    shown_ms = [10 * number if number < 6 else 60 + 400 * (number - 6) for number in range(14)]
    decoded_ms = [0, 10, *(ms + 20 for ms in shown_ms)]
    packets = encoded(14, codec=codec, b_frames=3)
    times = [(shown_ms[each.shown] + 20, decoded_ms[number]) for number, each in enumerate(packets)]
    source = PacketFile(muxed(tmp_path / f"clip.{suffix}", codec, packets, times, Fraction(1, 1000)))
    assert source.held_back == late(list(source)) == 2
    source.close()


def late(packets: list[PacketFrame]) -> int:
    """How many packets after the first a decoder takes until it shows a picture."""
    decoder = av.CodecContext.create(packets[0].codec, "r")
    decoder.thread_count = 1
    return next(number for number, each in enumerate(packets) if decoder.decode(av.Packet(each.data)))


def test_without_b_frames_nothing_is_held_back(tmp_path: Path) -> None:
    assert PacketFile(write_clip(tmp_path / "clip.mp4", codec="h264")).held_back == 0


def test_another_codec_cannot_be_forwarded(make_clip: MakeClip) -> None:
    with pytest.raises(SourceError, match=r"encoded as mpeg4; only H\.264 and HEVC") as refused:
        PacketFile(make_clip())
    assert "--forward" in refused.value.hint


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="no such file"):
        PacketFile(tmp_path / "gone.mp4")


def test_the_packets_of_a_network_camera_can_be_decoded(caplog: pytest.LogCaptureFixture) -> None:
    with rtsp_camera(frames=12) as camera, caplog.at_level(logging.CRITICAL):
        source = PacketCamera(camera.url)
        packets = list(islice(source, 8))
        source.close()
    assert [packet.stamp.sequence for packet in packets] == list(range(1, 9))
    assert len(shown(packets)) == 8
    assert all(packet.key for packet in packets)
    assert (source.live, source.held_back) == (True, 0)
    assert "secret" not in source.description


def test_a_camera_that_hangs_up_is_opened_again_at_a_key_frame() -> None:
    with rtsp_camera(frames=6) as camera:
        source = open_packets(camera.url)
        packets = list(islice(source, 15))
        source.interrupt()
        source.close()
    assert [packet.stamp.sequence for packet in packets] == list(range(1, 16))
    assert source.live


def test_what_gives_pictures_cannot_be_forwarded(pictures: Path) -> None:
    for text in (str(pictures), str(pictures / "img1.png"), "0"):
        with pytest.raises(UsageError, match="gives pictures"):
            open_packets(text)


@pytest.mark.data
def test_the_real_clips_can_be_forwarded(real_data: Path) -> None:
    source = PacketFile(real_data / "clips" / "hamilton.mp4")
    packets = list(source)
    source.close()
    assert len(packets) == source.expected == 275
    assert len(shown(packets)) == 275
