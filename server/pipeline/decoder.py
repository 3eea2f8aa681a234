"""A video decoder in a process of its own, which may crash, hang or be killed without harm to the server.

Decoders are native code that reads what strangers send. The process (`server.pipeline.decoder_process`) is started anew
rather than forked, inherits nothing but a socket for messages and a piece of shared memory for pixels, and limits its
own memory and the processor time of each packet. It ends when the socket closes, however the server ends.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Protocol

from server.domain import Codec, EncodedImage
from server.errors import ImageError, VideoDecoderError

REQUEST = struct.Struct("<BQI")
"""kind, number of the packet, bytes of the packet that follow."""

REPLY = struct.Struct("<BQII")
"""kind, number of the packet, then width and height of a picture, or the bytes of a refusal that follow and 0."""

OUT_OF_MEMORY = 71
"""Exit status of a decoder whose memory limit was too small for a packet."""

_START_TIMEOUT_S = 60.0
"""A process starts in a fifth of a second; on a machine that is busy with other things it may take long."""

_WALL_PER_PROCESSOR = 5
"""Seconds on the clock for each second of processor time that a packet may take, before the process is given up."""


class RequestKind(IntEnum):
    """What the server asks of a decoder."""

    PACKET = 1
    FLUSH = 2
    NEXT = 3


class ReplyKind(IntEnum):
    """What a decoder answers: READY once, then for every request pictures, each of which is taken by NEXT, and DONE."""

    READY = 1
    PICTURE = 2
    DONE = 3


@dataclass(frozen=True, slots=True)
class DecoderLimits:
    """What a decoder may use.

    Attributes:
        max_pixels: width times height of a picture.
        packet_s: processor time for one packet, seconds.
    """

    max_pixels: int
    packet_s: float


@dataclass(frozen=True, slots=True)
class Decoded:
    """What came out of a decoder for one packet.

    Attributes:
        pictures: raw BGR, each with the number of the packet that codes it, in the order in which they are shown.
        refusal: what is wrong with the packet that went in; None when nothing is.
    """

    pictures: tuple[tuple[int, EncodedImage], ...]
    refusal: ImageError | None = None


class Decoder(Protocol):
    """Decodes the packets of one stream. Calls block; one thread calls."""

    def decode(self, data: bytes, number: int) -> Decoded:
        """Decodes a packet in annex B form; numbers go up.

        Raises:
            VideoDecoderError: the decoder is gone; a new one must begin with a key frame.
        """
        ...

    def flush(self) -> Decoded:
        """Gives out the pictures that are held back. The next packet must be a key frame.

        Raises:
            VideoDecoderError: the decoder is gone.
        """
        ...

    def close(self) -> None:
        """Ends the decoder and frees its memory."""
        ...


StartDecoder = Callable[[Codec], Decoder]


class DecoderProcess:
    """A `Decoder` in a process of its own.

    Args:
        codec: H264 or HEVC.
        limits: what it may use.

    Attributes:
        pid: of the process.

    Raises:
        VideoDecoderError: the process does not start.
    """

    def __init__(self, codec: Codec, limits: DecoderLimits) -> None:
        self._limits = limits
        try:
            with ExitStack() as opened:
                self._pixels = _shared_memory()
                opened.callback(os.close, self._pixels)
                self._complaints = opened.enter_context(tempfile.TemporaryFile())
                self._socket, theirs = socket.socketpair()
                opened.enter_context(self._socket)
                with theirs:
                    self._process = _start(theirs.fileno(), self._pixels, self._complaints.fileno(), codec, limits)
                self._opened = opened.pop_all()
        except OSError as error:
            raise VideoDecoderError("DECODER_FAILED", f"no video decoder can be started: {error}") from error
        self.pid = self._process.pid
        self._socket.settimeout(_START_TIMEOUT_S)
        try:
            self._receive(REPLY.size)
        except OSError as error:
            raise self._gone(error) from error
        self._socket.settimeout(limits.packet_s * _WALL_PER_PROCESSOR)

    def decode(self, data: bytes, number: int) -> Decoded:
        """Decodes a packet."""
        return self._ask(REQUEST.pack(RequestKind.PACKET, number, len(data)), data)

    def flush(self) -> Decoded:
        """Gives out the pictures that are held back."""
        return self._ask(REQUEST.pack(RequestKind.FLUSH, 0, 0))

    def close(self) -> None:
        """Ends the process and waits for its end; there is nothing in it to save."""
        if self._socket.fileno() < 0:
            return
        self._opened.close()
        self._process.kill()
        self._process.wait()

    def _last_words(self) -> str:
        """The last line of what the process wrote before it ended: the exception behind it, if there was one."""
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()
        return f" ({lines[-1][:200]})" if lines else ""

    def _ask(self, *request: bytes) -> Decoded:
        if self._socket.fileno() < 0:
            raise VideoDecoderError("DECODER_FAILED", "the video decoder is closed")
        pictures: list[tuple[int, EncodedImage]] = []
        try:
            for part in request:
                self._socket.sendall(part)
            while True:
                kind, number, width, height = REPLY.unpack(self._receive(REPLY.size))
                if kind == ReplyKind.DONE:
                    return Decoded(tuple(pictures), _refusal(self._receive(width)))
                pictures.append((number, self._picture(width, height)))
                self._socket.sendall(REQUEST.pack(RequestKind.NEXT, 0, 0))
        except OSError as error:
            raise self._gone(error) from error

    def _picture(self, width: int, height: int) -> EncodedImage:
        # A damaged decoder may say anything; what it says must not become an allocation.
        if not 0 < width * height <= self._limits.max_pixels:
            raise ConnectionError(f"it speaks of a picture of {width}x{height} pixels")
        pixels = os.pread(self._pixels, width * height * 3, 0)
        if len(pixels) < width * height * 3:
            raise ConnectionError("it gave too few pixels")
        return EncodedImage(Codec.BGR24, pixels, width, height, decoded_here=True)

    def _receive(self, size: int) -> bytes:
        if size > 2**16:
            raise ConnectionError(f"it announces {size} bytes of text")
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise ConnectionError("it ended")
            data += part
        return data

    def _gone(self, error: OSError) -> VideoDecoderError:
        """Ends what is left of the process and says how it ended."""
        if isinstance(error, TimeoutError):
            what = f"did not answer within {self._socket.gettimeout():g} s"
        else:
            try:  # it closed the socket by ending; its status is there in a moment
                what = _ending(self._process.wait(1), self._limits) + self._last_words()
            except subprocess.TimeoutExpired:
                what = f"broke off: {error}"
        self.close()
        return VideoDecoderError(
            "DECODER_FAILED", f"the video decoder {what}; a new one begins with the next key frame"
        )


def _shared_memory() -> int:
    """A file without a name that is in memory where the system can; its descriptor."""
    if sys.platform == "linux":
        return os.memfd_create("facestream-pictures")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _start(channel: int, pixels: int, complaints: int, codec: Codec, limits: DecoderLimits) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            # -P: the folder that the server was started in is no place to import from.
            *(sys.executable, "-P", "-m", "server.pipeline.decoder_process"),
            *(str(channel), str(pixels), codec.value, str(limits.max_pixels), str(limits.packet_s)),
        ],
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=complaints,
        pass_fds=(channel, pixels),
        process_group=0,  # Ctrl-C is for the server, which then closes its decoders
    )


def _environment() -> dict[str, str]:
    """The server's, with the folder that this package was imported from in front of the path."""
    here = str(Path(__file__).resolve().parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))}


def _refusal(text: bytes) -> ImageError | None:
    reason, _, message = text.decode().partition("\n")
    return ImageError(reason, message) if reason else None


def _ending(status: int, limits: DecoderLimits) -> str:
    if status == -signal.SIGPROF:
        return f"took more than {limits.packet_s:g} s of processor time for a packet and was stopped"
    if status == OUT_OF_MEMORY:
        return "ran out of the memory that it may use"
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def refusal_text(error: ImageError) -> bytes:
    """A refusal as a decoder sends it."""
    return f"{error.reason}\n{error.message}".encode()


def decoders(limits: DecoderLimits) -> StartDecoder:
    """What starts a decoder within these limits."""
    return lambda codec: DecoderProcess(codec, limits)
