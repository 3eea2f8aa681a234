"""Packets to pictures: each its own, in the order of showing, within limits."""

from __future__ import annotations

import random

import pytest

from server.domain import Codec
from server.errors import ImageError
from server.vision.video import VideoDecoder
from tests.encoded import encoded, level_of

VIDEO = [Codec.H264, Codec.HEVC]
MANY = 2**20


def shown(pictures):
    return [(picture.number, level_of(picture.pixels)) for picture in pictures]


@pytest.mark.parametrize("codec", VIDEO)
def test_without_b_frames_every_packet_gives_its_picture_at_once(codec):
    decoder = VideoDecoder(codec, max_pixels=MANY)
    for number, packet in enumerate(encoded(12, codec=codec.value), 1):
        (picture,) = decoder.decode(packet.data, number)
        assert (picture.number, level_of(picture.pixels)) == (number, (number - 1) % 10)
        assert picture.pixels.shape == (120, 160, 3)
    assert list(decoder.flush()) == []


@pytest.mark.parametrize("codec", VIDEO)
def test_with_b_frames_pictures_come_in_the_order_of_showing_with_the_numbers_of_their_packets(codec):
    packets = encoded(14, codec=codec.value, b_frames=3, group=7)
    assert [packet.shown for packet in packets] != sorted(packet.shown for packet in packets)
    decoder = VideoDecoder(codec, max_pixels=MANY)
    pictures = [picture for number, packet in enumerate(packets) for picture in decoder.decode(packet.data, number)]
    assert len(pictures) < 14
    pictures += decoder.flush()
    by_showing = sorted(range(14), key=lambda number: packets[number].shown)
    assert shown(pictures) == [(number, packets[number].shown % 10) for number in by_showing]


@pytest.mark.parametrize("codec", VIDEO)
def test_after_a_flush_the_decoder_goes_on_with_a_key_frame(codec):
    packets = encoded(10, codec=codec.value, group=5)
    decoder = VideoDecoder(codec, max_pixels=MANY)
    for number in range(3):
        list(decoder.decode(packets[number].data, number))
    list(decoder.flush())
    assert [shown(decoder.decode(packets[number].data, number)) for number in (5, 6)] == [[(5, 5)], [(6, 6)]]


@pytest.mark.parametrize("codec", VIDEO)
def test_a_picture_over_the_limit_is_refused_with_its_size_and_none_at_the_limit(codec):
    (packet,) = encoded(1, codec=codec.value, size=(320, 240))
    assert len(list(VideoDecoder(codec, max_pixels=320 * 240).decode(packet.data, 1))) == 1
    with pytest.raises(ImageError, match="320x240") as refused:
        list(VideoDecoder(codec, max_pixels=320 * 240 - 1).decode(packet.data, 1))
    assert refused.value.reason == "IMAGE_PIXELS_EXCEEDED"


@pytest.mark.parametrize("codec", VIDEO)
def test_the_size_may_change_with_a_key_frame(codec):
    decoder = VideoDecoder(codec, max_pixels=MANY)
    packets = [packet for size in ((160, 120), (320, 180)) for packet in encoded(3, codec=codec.value, size=size)]
    pictures = [picture for number, packet in enumerate(packets) for picture in decoder.decode(packet.data, number)]
    pictures += decoder.flush()
    assert [picture.pixels.shape[:2] for picture in pictures] == [(120, 160)] * 3 + [(180, 320)] * 3


def test_a_packet_whose_picture_is_cut_off_is_refused():
    packets = encoded(3, noise=40)
    decoder = VideoDecoder(Codec.H264, max_pixels=MANY)
    list(decoder.decode(packets[0].data, 0))
    with pytest.raises(ImageError) as refused:
        list(decoder.decode(packets[1].data[: len(packets[1].data) // 2], 1))
    assert refused.value.reason == "PACKET_DAMAGED"


@pytest.mark.parametrize("codec", VIDEO)
def test_flipped_bits_give_pictures_or_a_refusal_and_nothing_else(codec):
    packets = encoded(6, codec=codec.value, noise=20, group=3)
    rng = random.Random(7)
    for _ in range(60):
        decoder = VideoDecoder(codec, max_pixels=MANY)
        for number, packet in enumerate(packets):
            data = bytearray(packet.data)
            for _ in range(rng.randrange(4)):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            try:
                pictures = list(decoder.decode(bytes(data), number))
            except ImageError:
                pictures = []
                decoder.reset()
            assert all(picture.pixels.size <= MANY * 3 for picture in pictures)
