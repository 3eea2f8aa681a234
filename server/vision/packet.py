"""What a packet of video says of itself, read without decoding.

A packet is a sequence of units in the byte stream form of ITU-T H.264, annex B, and ITU-T H.265, annex B: each begins
with a start code, 00 00 01, and its first byte or two give its type (H.264 table 7-1, H.265 table 7-1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from server.domain import Codec
from server.errors import ImageError

_START_CODE = re.compile(rb"\x00\x00\x01")

_H264_PICTURES, _H264_KEY = frozenset({1, 2, 5}), frozenset({5})
_HEVC_PICTURES, _HEVC_KEY = frozenset(range(32)), frozenset(range(16, 24))
_PARAMETERS = {Codec.H264: frozenset({7, 8}), Codec.HEVC: frozenset({32, 33, 34})}


@dataclass(frozen=True, slots=True)
class PacketHeader:
    """What a packet holds.

    Attributes:
        key: it begins a group of pictures: an IDR picture of H.264, an IRAP picture of HEVC.
        parameters: the parameter sets with which decoding can begin are in it.
    """

    key: bool
    parameters: bool


def read_packet(codec: Codec, data: bytes) -> PacketHeader:
    """What a packet of H264 or HEVC holds.

    Raises:
        ImageError: it is not in annex B form, or codes no picture.
    """
    if not data.startswith((b"\x00\x00\x01", b"\x00\x00\x00\x01")):
        raise ImageError(
            "PACKET_FORMAT_UNSUPPORTED",
            f"the packet starts with {data[:4].hex(' ')} and not with a start code, 00 00 01; send {codec.name} in "
            "annex B form, one picture a packet",
        )
    types = _unit_types(codec, data)
    pictures, keys = (_H264_PICTURES, _H264_KEY) if codec is Codec.H264 else (_HEVC_PICTURES, _HEVC_KEY)
    if types.isdisjoint(pictures):
        raise ImageError(
            "PACKET_WITHOUT_PICTURE",
            f"the packet has units of the types {sorted(types)}, none of which codes a picture; send parameter sets in "
            "one packet with the key frame that they belong to",
        )
    return PacketHeader(key=not types.isdisjoint(keys), parameters=types >= _PARAMETERS[codec])


def _unit_types(codec: Codec, data: bytes) -> set[int]:
    # A packet that ends with a start code has no unit there.
    heads = (data[found.end()] for found in _START_CODE.finditer(data) if found.end() < len(data))
    if codec is Codec.H264:
        return {head & 0x1F for head in heads}
    return {(head >> 1) & 0x3F for head in heads}
