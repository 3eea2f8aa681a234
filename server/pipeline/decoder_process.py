"""The other end of `server.pipeline.decoder`: a process that decodes packets until its socket closes."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from server.domain import Codec
from server.errors import ImageError
from server.pipeline.decoder import OUT_OF_MEMORY, REPLY, REQUEST, ReplyKind, RequestKind, refusal_text
from server.vision.video import DecodedPicture, VideoDecoder

_BYTES_PER_PIXEL = 64
"""The standards let a decoder hold 16 pictures; with those on their way in and out, at 10 bits a sample, that is 60."""

_OTHER_BYTES = 128 * 2**20


def main(arguments: list[str]) -> int:
    """Serves one stream; the exit status."""
    channel, pixels, codec, max_pixels, packet_s = arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    decoder = VideoDecoder(Codec(codec), max_pixels=int(max_pixels))
    _limit_memory(int(max_pixels))
    with socket.socket(fileno=int(channel)) as peer:
        peer.sendall(REPLY.pack(ReplyKind.READY, 0, 0, 0))
        try:
            while (request := _request(peer)) is not None:
                # The signal's default action ends the process, whatever native code is running.
                signal.setitimer(signal.ITIMER_PROF, float(packet_s))
                _answer(peer, int(pixels), decoder, *request)
                signal.setitimer(signal.ITIMER_PROF, 0)
        except ConnectionError:
            return 0
        except MemoryError:
            return OUT_OF_MEMORY
    return 0


def _limit_memory(max_pixels: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    status = Path("/proc/self/statm")
    if status.exists():  # elsewhere nobody says how much of its address space a process uses already
        used = int(status.read_text().split()[0]) * resource.getpagesize()
        most = used + _OTHER_BYTES + _BYTES_PER_PIXEL * max_pixels
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _request(peer: socket.socket) -> tuple[RequestKind, int, bytes] | None:
    head = _receive(peer, REQUEST.size)
    if not head:
        return None
    kind, number, size = REQUEST.unpack(head)
    return RequestKind(kind), number, _receive(peer, size)


def _receive(peer: socket.socket, size: int) -> bytes:
    """So many bytes; none when the server is gone."""
    data = bytearray()
    while len(data) < size:
        part = peer.recv(size - len(data))
        if not part:
            return b""
        data += part
    return bytes(data)


def _answer(
    peer: socket.socket, pixels: int, decoder: VideoDecoder, kind: RequestKind, number: int, data: bytes
) -> None:
    refusal = b""
    try:
        for picture in decoder.decode(data, number) if kind is RequestKind.PACKET else decoder.flush():
            _give(peer, pixels, picture)
    except ImageError as error:
        refusal = refusal_text(error)
        for picture in _held_back(decoder):
            _give(peer, pixels, picture)
    peer.sendall(REPLY.pack(ReplyKind.DONE, number, len(refusal), 0) + refusal)


def _held_back(decoder: VideoDecoder) -> Iterator[DecodedPicture]:
    """The pictures from before a damaged packet, as far as they are sound."""
    try:
        yield from decoder.flush()
    except ImageError:
        decoder.reset()


def _give(peer: socket.socket, pixels: int, picture: DecodedPicture) -> None:
    """Shows a picture and waits until it was taken."""
    height, width = picture.pixels.shape[:2]
    left = picture.pixels.data.cast("B")
    position = 0
    while position < len(left):
        position += os.pwrite(pixels, left[position:], position)
    peer.sendall(REPLY.pack(ReplyKind.PICTURE, picture.number, width, height))
    if not _receive(peer, REQUEST.size):
        raise ConnectionError("the server is gone")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
