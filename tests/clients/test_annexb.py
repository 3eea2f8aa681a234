from __future__ import annotations

import pytest

from clients.annexb import is_key_frame
from clients.frames import PacketCodec
from tests.encoded import encoded


@pytest.mark.parametrize("codec", PacketCodec)
@pytest.mark.parametrize("b_frames", [0, 3])
def test_key_frames_are_those_of_the_encoder(codec: PacketCodec, b_frames: int) -> None:
    packets = encoded(20, codec=codec, group=7, b_frames=b_frames)
    assert [is_key_frame(codec, packet.data) for packet in packets] == [packet.key for packet in packets]


@pytest.mark.parametrize("data", [b"", b"\0\0\1", b"\0\0\0\1", b"\x65\x26", b"\0\0\1\x67\0\0\1\x68"])
def test_nothing_else_is_a_key_frame(data: bytes) -> None:
    assert not is_key_frame(PacketCodec.H264, data)
