"""Packets of a camera's stream to pictures: every frame gets its picture or an error, once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from server.domain import Codec, EncodedImage
from server.errors import FacestreamError, ImageError, KeyFrameNeededError, VideoDecoderError
from server.pipeline.decoder import Decoded, Decoder, StartDecoder
from server.vision.packet import PacketHeader, read_packet

_log = logging.getLogger(__name__)

_MOST_HELD_BACK = 16
"""Pictures that a decoder holds back at most before it shows one, by both standards."""

_LONGEST_REST_NS = 10 * 10**9

FrameT = TypeVar("FrameT")
Pictured: TypeAlias = tuple[FrameT, EncodedImage | FacestreamError]
"""A frame, and its picture as raw BGR or why it has none."""


@dataclass(frozen=True, slots=True)
class _HeldBack(Generic[FrameT]):
    """A frame whose picture the decoder has not shown yet.

    Attributes:
        frame: the frame.
        taken: how many packets the decoder had taken with this one. Their numbers don't tell its age: they leap where a
            client leaves packets out.
    """

    frame: FrameT
    taken: int


@dataclass(slots=True)
class PacketSequence(Generic[FrameT]):
    """Keeps one decoder fed with what it can decode, and begins anew with a key frame after whatever happened to it.

    Calls block while the decoder works; one thread calls.

    Attributes:
        start: starts a decoder.
        max_bytes: of one packet.
        clock: monotonic nanoseconds.
    """

    start: StartDecoder
    max_bytes: int
    clock: Callable[[], int]
    _decoder: Decoder | None = field(default=None, init=False)
    _codec: Codec = field(default=Codec.UNSPECIFIED, init=False)
    _last_number: int = field(default=0, init=False)
    _taken: int = field(default=0, init=False)
    _broken: bool = field(default=True, init=False)
    _held_back: dict[int, _HeldBack[FrameT]] = field(default_factory=dict, init=False)
    _failures: int = field(default=0, init=False)
    _rests_until_ns: int = field(default=0, init=False)

    def take(self, frame: FrameT, number: int, packet: EncodedImage) -> list[Pictured[FrameT]]:
        """The frames that have their picture or error now that this one came, pictures in the order of showing.

        Args:
            frame: the frame.
            number: of the frame: one more than that of the packet before, or a packet is missing.
            packet: of a video codec.
        """
        finished = self.finish() if packet.codec is not self._codec else []
        self._codec = packet.codec
        try:
            self._admit(read_packet(packet.codec, self._sized(packet)), number)
            decoder = self._running()
        except FacestreamError as error:
            self._broken = True
            return [*finished, (frame, error)]
        self._taken += 1
        self._held_back[number] = _HeldBack(frame, self._taken)
        self._last_number, self._broken = number, False
        return finished + self._settled(lambda: decoder.decode(packet.data, number), number)

    def finish(self) -> list[Pictured[FrameT]]:
        """Ends the decoder; the frames whose pictures it held back."""
        pictured = self._settled(self._decoder.flush, 0) if self._decoder is not None else []
        pictured += self._give_up(self._held_back)
        self.close()
        return pictured

    def close(self) -> None:
        """Ends the decoder at once."""
        if self._decoder is not None:
            self._decoder.close()
        self._decoder, self._broken = None, True

    def _sized(self, packet: EncodedImage) -> bytes:
        if len(packet.data) > self.max_bytes:
            raise ImageError(
                "IMAGE_BYTES_EXCEEDED",
                f"the packet has {len(packet.data)} bytes, the limit is {self.max_bytes}; send it smaller",
            )
        return packet.data

    def _admit(self, header: PacketHeader, number: int) -> None:
        missing = not header.key and number != self._last_number + 1
        if self._decoder is None and not (header.key and header.parameters):
            raise _key_frame_needed("no picture was decoded yet; a key frame with its parameter sets is needed first")
        if not header.key and (self._broken or missing):
            what = f"packet {number} follows packet {self._last_number}" if missing else "a packet before was damaged"
            raise _key_frame_needed(f"{what}, so that its picture would be wrong; a key frame is needed to go on")

    def _running(self) -> Decoder:
        if self._decoder is None:
            if self.clock() < self._rests_until_ns:
                raise _key_frame_needed("the decoder failed again and again and rests for a while")
            try:
                self._decoder = self.start(self._codec)
            except VideoDecoderError as error:
                self._failed(error)
                raise
        return self._decoder

    def _settled(self, decode: Callable[[], Decoded], number: int) -> list[Pictured[FrameT]]:
        try:
            decoded = decode()
        except VideoDecoderError as error:
            self._failed(error)
            gone: list[Pictured[FrameT]] = [(held.frame, error) for held in self._held_back.values()]
            self._held_back.clear()
            return gone
        settled: list[Pictured[FrameT]] = []
        if decoded.refusal is not None:
            self._broken = True
            if number in self._held_back:
                settled.append((self._held_back.pop(number).frame, decoded.refusal))
        for of, picture in decoded.pictures:
            self._failures = 0
            if of in self._held_back:
                settled.append((self._held_back.pop(of).frame, picture))
        overdue = [of for of, held in self._held_back.items() if held.taken < self._taken - _MOST_HELD_BACK]
        return settled + self._give_up(overdue)

    def _give_up(self, numbers: Iterable[int]) -> list[Pictured[FrameT]]:
        missing = ImageError("PICTURE_MISSING", "the decoder did not show the packet's picture")
        return [(self._held_back.pop(number).frame, missing) for number in list(numbers)]

    def _failed(self, error: VideoDecoderError) -> None:
        """The first failure may be chance; after more the camera waits, so that it can't keep the machine busy."""
        _log.warning("%s", error.message)
        self.close()
        self._rests_until_ns = self.clock() + min(_LONGEST_REST_NS, self._failures * 10**9)
        self._failures += 1


class PacketPictures(Generic[FrameT]):
    """A `PacketSequence` in a thread of its own, which exists once the first packet has come.

    Args:
        start: starts a decoder.
        max_bytes: of one packet.
        clock: monotonic nanoseconds.
    """

    def __init__(self, start: StartDecoder, *, max_bytes: int, clock: Callable[[], int]) -> None:
        self._sequence: PacketSequence[FrameT] = PacketSequence(start, max_bytes, clock)
        self._thread: ThreadPoolExecutor | None = None

    async def take(self, frame: FrameT, number: int, image: EncodedImage) -> list[Pictured[FrameT]]:
        """The frames that have their picture or error now that this one came. An image that is no packet is itself one.

        Args:
            frame: the frame.
            number: its sequence number.
            image: as the camera sent it.
        """
        if not image.codec.is_video:
            return [(frame, image)]
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "packets")
        return await self._run(lambda: self._sequence.take(frame, number, image))

    async def finish(self) -> list[Pictured[FrameT]]:
        """The frames whose pictures were held back; no packet follows."""
        return await self._run(self._sequence.finish)

    async def aclose(self) -> None:
        """Ends decoder and thread."""
        if self._thread is not None:
            thread, self._thread = self._thread, None
            closing = thread.submit(self._sequence.close)
            thread.shutdown(wait=False)
            await asyncio.wrap_future(closing)

    async def _run(self, work: Callable[[], list[Pictured[FrameT]]]) -> list[Pictured[FrameT]]:
        if self._thread is None:
            return []
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _key_frame_needed(why: str) -> KeyFrameNeededError:
    return KeyFrameNeededError("KEY_FRAME_NEEDED", why)
