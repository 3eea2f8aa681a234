"""A network camera on loopback: as much of RTSP (RFC 2326) as a player needs that asks for TCP."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction

import av

from tests.clients.conftest import number_picture

_CLOCK_HZ = 90_000


def encoded_units(frames: int, *, fps: int, size: tuple[int, int]) -> list[list[bytes]]:
    """H.264 network units of each frame, every one decodable by itself."""
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = *size, "yuv420p"
    codec.time_base = Fraction(1, fps)
    codec.options = {"tune": "zerolatency", "x264-params": "keyint=1:repeat-headers=1:sliced-threads=0:threads=1"}
    units = []
    for number in range(1, frames + 1):
        picture = av.VideoFrame.from_ndarray(number_picture(number, *size), format="bgr24")
        picture.pts = number - 1
        data = b"".join(bytes(packet) for packet in codec.encode(picture))
        units.append([unit for unit in re.split(b"\0\0\0?\1", data) if unit])
    return units


@dataclass
class RtspCamera:
    """Serves one client after the other. Says what it was asked in `requests`."""

    units: list[list[bytes]]
    fps: int
    port: int = 0
    silent: bool = False
    requests: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"rtsp://viewer:secret@127.0.0.1:{self.port}/live"

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    self._talk(connection)
                except OSError:
                    continue

    def _talk(self, connection: socket.socket) -> None:
        buffer = b""
        while True:
            while b"\r\n\r\n" not in buffer:
                received = connection.recv(4096)
                if not received:
                    return
                buffer += received
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            request = head.decode()
            self.requests.append(request)
            if self.silent:
                connection.recv(1)
                return
            method = request.partition(" ")[0]
            connection.sendall(self._reply(method, request))
            if method == "PLAY":
                self._play(connection)
                return

    def _reply(self, method: str, request: str) -> bytes:
        sequence = re.search(r"CSeq: (\d+)", request)[1]
        head = f"RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\nSession: 1\r\n"
        body = ""
        if method == "OPTIONS":
            head += "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        if method == "DESCRIBE":
            body = (
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\n"
                f"m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/{_CLOCK_HZ}\r\na=fmtp:96 packetization-mode=1\r\n"
                f"a=framerate:{self.fps}\r\na=control:track1\r\n"
            )
            head += f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
        if method == "SETUP":
            head += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
        return (head + "\r\n" + body).encode()

    def _play(self, connection: socket.socket) -> None:
        number = 0
        for frame, units in enumerate(self.units):
            for i, unit in enumerate(units):
                last = 0x80 if i == len(units) - 1 else 0
                timestamp = frame * _CLOCK_HZ // self.fps
                packet = struct.pack(">BBHII", 0x80, last | 96, number, timestamp, 1) + unit
                connection.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
                number += 1


@contextmanager
def rtsp_camera(
    *, frames: int = 12, fps: int = 10, size: tuple[int, int] = (160, 120), silent: bool = False
) -> Iterator[RtspCamera]:
    """A camera that gives some frames to everyone who asks, and hangs up."""
    camera = RtspCamera([] if silent else encoded_units(frames, fps=fps, size=(160, 120)), fps, silent=silent)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        camera.port = listener.getsockname()[1]
        thread = threading.Thread(target=camera.serve, args=(listener,), daemon=True)
        thread.start()
        yield camera
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(timeout=5)
