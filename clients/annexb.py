"""Where a decoder can begin: key frames among packets of H.264 and HEVC.

Packets are in the byte stream form of ITU-T H.264, annex B, and ITU-T H.265, annex B: units behind start codes,
00 00 01, each with its type in the first byte (tables 7-1 of both standards).
"""

from __future__ import annotations

import re

from clients.frames import PacketCodec

_UNIT = re.compile(rb"\x00\x00\x01(.)", re.DOTALL)

_H264_IDR = 5
_HEVC_IRAP = range(16, 24)


def is_key_frame(codec: PacketCodec, data: bytes) -> bool:
    """Whether a packet is an IDR picture of H.264 or an IRAP picture of HEVC: what the server takes for a beginning."""
    heads = (found[1][0] for found in _UNIT.finditer(data))
    if codec is PacketCodec.H264:
        return any(head & 0x1F == _H264_IDR for head in heads)
    return any((head >> 1) & 0x3F in _HEVC_IRAP for head in heads)
