"""Packets in order, one answer a frame, and a key frame after whatever happened."""

from __future__ import annotations

import os
import signal

import pytest

from server.domain import Codec, EncodedImage
from server.errors import KeyFrameNeededError, VideoDecoderError
from server.pipeline.decoder import DecoderLimits, DecoderProcess
from server.pipeline.packets import PacketPictures, PacketSequence
from server.vision.decode import ImageLimits, decode
from tests.encoded import encoded, level_of
from tests.server.pipeline.fake_decoder import BARE_KEY, DELTA, KEY, FakeDecoder

LIMITS = DecoderLimits(max_pixels=2**20, packet_s=20)


class Camera:
    """A sequence of packets over fake decoders."""

    def __init__(self, delay=0, max_bytes=1000):
        self.now_ns, self.decoders, self.refuse_to_start = 0, [], False
        self.delay = delay
        self.sequence = PacketSequence(self.start, max_bytes, lambda: self.now_ns)

    def start(self, codec):
        if self.refuse_to_start:
            raise VideoDecoderError("DECODER_FAILED", "no more processes")
        self.decoders.append(FakeDecoder(self.delay))
        return self.decoders[-1]

    def send(self, number, data, codec=Codec.H264):
        return seen(self.sequence.take(f"frame {number}", number, EncodedImage(codec, data)))


def seen(pictured):
    """Which frames got what: the bytes of a picture, or the reason of an error."""
    return [
        (int(frame.split()[1]), outcome.data if isinstance(outcome, EncodedImage) else outcome.reason)
        for frame, outcome in pictured
    ]


def test_frames_before_the_first_key_frame_are_answered_that_one_is_needed():
    camera = Camera()
    assert camera.send(1, DELTA) == [(1, "KEY_FRAME_NEEDED")]
    assert camera.send(2, DELTA) == [(2, "KEY_FRAME_NEEDED")]
    assert camera.decoders == []
    assert camera.send(3, KEY) == [(3, KEY)]
    assert camera.send(4, DELTA) == [(4, DELTA)]


def test_the_first_key_frame_needs_its_parameter_sets_and_later_ones_dont():
    camera = Camera()
    assert camera.send(1, BARE_KEY) == [(1, "KEY_FRAME_NEEDED")]
    assert camera.send(2, KEY) == [(2, KEY)]
    assert camera.send(3, BARE_KEY) == [(3, BARE_KEY)]


def test_a_key_frame_error_is_one_of_state_so_that_clients_know_that_sending_on_helps():
    ((_, error),) = Camera().sequence.take("frame 1", 1, EncodedImage(Codec.H264, DELTA))
    assert isinstance(error, KeyFrameNeededError)
    assert error.code.value == "FAILED_PRECONDITION"


def test_after_a_gap_a_key_frame_is_needed():
    camera = Camera()
    camera.send(1, KEY)
    assert camera.send(3, DELTA) == [(3, "KEY_FRAME_NEEDED")]
    assert camera.send(4, DELTA) == [(4, "KEY_FRAME_NEEDED")]
    assert camera.send(9, BARE_KEY) == [(9, BARE_KEY)]
    assert len(camera.decoders) == 1


def test_after_a_damaged_packet_a_key_frame_is_needed():
    camera = Camera()
    camera.send(1, KEY)
    assert camera.send(2, DELTA + b"damage") == [(2, "PACKET_DAMAGED")]
    assert camera.send(3, DELTA) == [(3, "KEY_FRAME_NEEDED")]
    assert camera.send(4, BARE_KEY) == [(4, BARE_KEY)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"no start code", "PACKET_FORMAT_UNSUPPORTED"),
        (b"\0\0\1\x67", "PACKET_WITHOUT_PICTURE"),
        (DELTA + bytes(1000), "IMAGE_BYTES_EXCEEDED"),
    ],
)
def test_a_packet_that_is_none_never_meets_the_decoder_and_leaves_a_gap(data, reason):
    camera = Camera()
    camera.send(1, KEY)
    assert camera.send(2, data) == [(2, reason)]
    assert camera.send(3, DELTA) == [(3, "KEY_FRAME_NEEDED")]
    assert camera.send(4, KEY) == [(4, KEY)]


def test_pictures_that_are_held_back_come_with_later_packets_and_at_the_end():
    camera = Camera(delay=2)
    assert [camera.send(1, KEY), camera.send(2, DELTA), camera.send(3, DELTA)] == [[], [], [(1, KEY)]]
    assert seen(camera.sequence.finish()) == [(2, DELTA), (3, DELTA)]
    assert camera.decoders[0].closed


def test_pictures_that_are_held_back_come_also_where_the_client_left_a_group_out():
    camera = Camera(delay=2)
    packets = [(1, KEY), (2, DELTA), (3, DELTA), (60, KEY), (61, DELTA), (62, DELTA)]
    answers = [camera.send(number, data) for number, data in packets]
    assert answers == [[], [], [(1, KEY)], [(2, DELTA)], [(3, DELTA)], [(60, KEY)]]
    assert seen(camera.sequence.finish()) == [(61, DELTA), (62, DELTA)]


def test_pictures_from_before_a_damaged_packet_are_given_out_beside_its_error():
    camera = Camera(delay=1)
    camera.send(1, KEY)
    assert camera.send(2, DELTA + b"damage") == [(2, "PACKET_DAMAGED"), (1, KEY)]


def test_a_frame_whose_picture_is_never_shown_is_answered_all_the_same():
    camera = Camera()
    answers = camera.send(1, KEY) + camera.send(2, DELTA + b"hide")
    for number in range(3, 25):
        answers += camera.send(number, DELTA)
    assert (2, "PICTURE_MISSING") in answers
    assert sorted(number for number, _ in answers) == list(range(1, 25))
    camera.send(25, DELTA + b"hide")
    assert seen(camera.sequence.finish()) == [(25, "PICTURE_MISSING")]


def test_when_the_decoder_dies_every_frame_in_it_is_an_error_and_a_new_one_begins_with_a_key_frame():
    camera = Camera(delay=2)
    camera.send(1, KEY)
    camera.send(2, DELTA)
    assert camera.send(3, DELTA + b"die") == [(number, "DECODER_FAILED") for number in (1, 2, 3)]
    assert camera.decoders[0].closed
    assert camera.send(4, BARE_KEY) == [(4, "KEY_FRAME_NEEDED")]
    assert [camera.send(5, KEY), camera.send(6, DELTA), camera.send(7, DELTA)] == [[], [], [(5, KEY)]]


def test_a_camera_whose_every_key_frame_kills_the_decoder_may_not_start_one_each_time():
    camera = Camera()
    started = []
    for number in range(1, 61):  # a key frame every half second
        camera.send(number, KEY + b"die")
        camera.now_ns += 5 * 10**8
        started.append(len(camera.decoders))
    assert started[:2] == [1, 2]
    assert started[-1] <= 10


def test_a_picture_ends_the_suspicion():
    camera = Camera()
    for number in range(1, 20, 2):
        camera.send(number, KEY + b"die")
        assert camera.send(number + 1, KEY) == [(number + 1, KEY)]


def test_a_decoder_that_cannot_be_started_is_an_error_for_that_frame():
    camera = Camera()
    camera.refuse_to_start = True
    assert camera.send(1, KEY) == [(1, "DECODER_FAILED")]
    camera.refuse_to_start = False
    assert camera.send(2, KEY) == [(2, KEY)]


def test_another_codec_gets_another_decoder_and_the_first_gives_out_what_it_held_back():
    camera = Camera(delay=1)
    camera.send(1, KEY)
    hevc = b"\0\0\1\x40\1\0\0\1\x42\1\0\0\1\x44\1\0\0\1\x26\1"
    assert camera.send(2, hevc, Codec.HEVC) == [(1, KEY)]
    assert [decoder.closed for decoder in camera.decoders] == [True, False]


# ---- with real decoders


@pytest.fixture
async def real():
    """Pictures of a stream, and the processes that were started for it."""
    processes = []

    def start(codec):
        processes.append(DecoderProcess(codec, LIMITS))
        return processes[-1]

    pictures = PacketPictures(start, max_bytes=2**20, clock=lambda: 0)
    yield pictures, processes
    await pictures.aclose()


async def sent(pictures, packets, codec=Codec.H264, first=1):
    """What all frames got, in order; pictures by their level."""
    answers = []
    for number, packet in enumerate(packets, first):
        answers += await pictures.take(number, number, EncodedImage(codec, packet.data))
    return levels(answers)


def levels(answers):
    return [
        (number, level_of(decode(got, ImageLimits())) if isinstance(got, EncodedImage) else got.reason)
        for number, got in answers
    ]


@pytest.mark.parametrize("codec", [Codec.H264, Codec.HEVC])
async def test_every_frame_of_a_real_stream_gets_its_own_picture(real, codec):
    pictures, _ = real
    packets = encoded(17, codec=codec.value, b_frames=3, group=8)
    answers = await sent(pictures, packets, codec)
    answers += levels(await pictures.finish())
    by_showing = sorted(range(17), key=lambda place: packets[place].shown)
    assert answers == [(place + 1, packets[place].shown % 10) for place in by_showing]


async def test_a_stream_can_be_entered_in_the_middle_of_a_group(real):
    pictures, _ = real
    answers = await sent(pictures, encoded(9, group=5)[2:])
    assert answers == [(n, "KEY_FRAME_NEEDED") for n in (1, 2, 3)] + [(4, 5), (5, 6), (6, 7), (7, 8)]


async def test_after_a_lost_packet_no_wrong_picture_is_given_out(real):
    pictures, _ = real
    packets = encoded(12, group=5)
    answers = await sent(pictures, packets[:2]) + await sent(pictures, packets[3:], first=4)
    assert answers == [
        (1, 0),
        (2, 1),
        *((n, "KEY_FRAME_NEEDED") for n in (4, 5)),
        *((n, (n - 1) % 10) for n in range(6, 13)),
    ]


async def test_a_decoder_that_is_killed_in_mid_stream_costs_the_frames_up_to_the_next_key_frame(real):
    pictures, processes = real
    packets = encoded(12, group=5)
    answers = await sent(pictures, packets[:2])
    os.kill(processes[0].pid, signal.SIGKILL)
    answers += await sent(pictures, packets[2:], first=3)
    assert answers == [
        (1, 0), (2, 1), (3, "DECODER_FAILED"), (4, "KEY_FRAME_NEEDED"), (5, "KEY_FRAME_NEEDED"),
        *((n, (n - 1) % 10) for n in range(6, 13)),
    ]  # fmt: skip
    assert len(processes) == 2


async def test_the_size_may_change_in_mid_stream(real):
    pictures, _ = real
    answers = []
    for number, packet in enumerate(encoded(3) + encoded(3, size=(320, 176)), 1):
        answers += await pictures.take(number, number, EncodedImage(Codec.H264, packet.data))
    answers += await pictures.finish()
    assert [(number, got.width, got.height) for number, got in answers] == [
        *((n, 160, 120) for n in (1, 2, 3)), *((n, 320, 176) for n in (4, 5, 6)),
    ]  # fmt: skip


async def test_pictures_pass_through_and_start_no_decoder(real):
    pictures, processes = real
    image = EncodedImage(Codec.JPEG, b"jpeg")
    assert await pictures.take("frame", 1, image) == [("frame", image)]
    assert await pictures.finish() == []
    assert processes == []


async def test_after_the_end_the_process_is_gone(real):
    pictures, processes = real
    await sent(pictures, encoded(2))
    await pictures.aclose()
    with pytest.raises(ProcessLookupError):
        os.kill(processes[0].pid, 0)
