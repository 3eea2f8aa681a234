"""Packets are read without decoding, and every input is accepted or refused with ImageError."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain import Codec
from server.errors import ImageError
from server.vision.packet import PacketHeader, read_packet
from tests.encoded import encoded

VIDEO = [Codec.H264, Codec.HEVC]


@pytest.mark.parametrize("codec", VIDEO)
def test_key_frames_and_their_parameter_sets_are_found_where_the_encoder_put_them(codec):
    packets = encoded(11, codec=codec.value, group=5)
    assert [packet.key for packet in packets] == [number % 5 == 0 for number in range(11)]
    headers = [read_packet(codec, packet.data) for packet in packets]
    assert headers == [PacketHeader(key=packet.key, parameters=packet.key) for packet in packets]


def test_a_key_frame_without_parameter_sets_is_one_all_the_same():
    packets = encoded(6, group=5, params={"repeat-headers": "0"})
    assert read_packet(Codec.H264, packets[5].data) == PacketHeader(key=True, parameters=False)


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0\0\x10\x65abc", b"\xff\xd8\xff\xe0", b"\0\0\0\0\1\x65"])
def test_what_does_not_begin_with_a_start_code_is_refused_with_its_first_bytes(data):
    with pytest.raises(ImageError, match="annex B") as refused:
        read_packet(Codec.H264, data)
    assert refused.value.reason == "PACKET_FORMAT_UNSUPPORTED"
    assert data[:4].hex(" ") in refused.value.message


@pytest.mark.parametrize(("codec", "head"), [(Codec.H264, b"\x67"), (Codec.HEVC, b"\x40\x01")])
@pytest.mark.parametrize("start", [b"\0\0\1", b"\0\0\0\1"])
def test_parameter_sets_alone_are_refused_because_they_show_nothing(codec, head, start):
    with pytest.raises(ImageError, match="key frame") as refused:
        read_packet(codec, start + head + b"abc")
    assert refused.value.reason == "PACKET_WITHOUT_PICTURE"


@given(st.binary(max_size=200), st.sampled_from(VIDEO))
def test_any_bytes_are_read_or_refused(data, codec):
    for packet in (data, b"\0\0\1" + data):
        with suppress(ImageError):
            read_packet(codec, packet)
