"""A camera that never reads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import grpc
from facestream.v1 import recognition_pb2

from tests.e2e.raw import DEADLINE_S, Stubs, config, frame, picture

_SMALL_WINDOW = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 2**14))
"""Few answers fit on the way to this client, so that the server soon has to keep them."""


class Deaf:
    """A camera that sends frames as fast as they are taken and reads no answer."""

    def __init__(self, address: str, frames: int) -> None:
        self.sent = 0
        self._frames = frames
        self._stop = threading.Event()
        self._channel = grpc.insecure_channel(address, options=_SMALL_WINDOW)
        self._call = Stubs(self._channel).recognition.StreamRecognize(self._messages(), timeout=DEADLINE_S)

    def _messages(self) -> Iterator[recognition_pb2.StreamRecognizeRequest]:
        yield config("deaf")
        junk = picture(bytes(20_000), codec=77)  # a long answer for each: the answers pile up fast
        for number in range(1, self._frames + 1):
            if self._stop.is_set():
                return
            self.sent = number
            yield frame(number, junk)

    def wait_until_stuck(self) -> None:
        """Waits until nothing was taken for a second."""
        seen, since = -1, time.monotonic()
        deadline = since + DEADLINE_S
        while time.monotonic() - since < 1:
            assert time.monotonic() < deadline, f"{self.sent} frames went out and nobody stopped them"
            if self.sent != seen:
                seen, since = self.sent, time.monotonic()
            time.sleep(0.05)

    def close(self) -> None:
        """Hangs up."""
        self._stop.set()
        self._call.cancel()
        self._channel.close()
