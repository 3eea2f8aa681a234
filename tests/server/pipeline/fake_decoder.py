"""A decoder that does what its packets say, and the shortest packets that pass for H.264."""

from __future__ import annotations

from server.domain import Codec, EncodedImage
from server.errors import ImageError, VideoDecoderError
from server.pipeline.decoder import Decoded

KEY = b"\0\0\1\x67\0\0\1\x68\0\0\1\x65"
BARE_KEY = b"\0\0\1\x65"
DELTA = b"\0\0\1\x41"


class FakeDecoder:
    """Shows every picture `delay` packets late. A packet may say what happens: damage, death, or silence."""

    def __init__(self, delay=0):
        self.delay, self.waiting, self.closed = delay, [], False
        self.numbers = []

    def decode(self, data, number):
        self.numbers.append(number)
        if b"die" in data:
            raise VideoDecoderError("DECODER_FAILED", "it died")
        if b"damage" in data:
            return Decoded(self._shown(0), ImageError("PACKET_DAMAGED", "damaged"))
        if b"hide" not in data:
            self.waiting.append((number, picture(data)))
        return Decoded(self._shown(self.delay))

    def flush(self):
        return Decoded(self._shown(0))

    def close(self):
        self.closed = True

    def _shown(self, keep):
        shown = self.waiting[: max(0, len(self.waiting) - keep)]
        del self.waiting[: len(shown)]
        return tuple(shown)


def picture(data):
    return EncodedImage(Codec.BGR24, data, 1, 1, decoded_here=True)
