from __future__ import annotations

import asyncio
import itertools

import pytest

from clients.advice import Advice
from clients.allowance import Allowance
from clients.encode import JpegEncoding
from clients.flight import Flight
from clients.options import StreamOptions
from clients.slot import Delivery


def limit(options: StreamOptions, *steps: Advice | None) -> int:
    """Frames that may be under way after advice came, or with None another connection."""
    flight = Flight(1)
    allowance = Allowance(options, flight)
    for step in steps:
        if step is None:
            allowance.forget()
        else:
            allowance.follow(step)
    return flight.limit


@pytest.mark.parametrize(
    ("wanted", "advised", "frames"),
    [(None, None, 2), (None, 1, 1), (None, 5, 5), (3, None, 3), (3, 5, 3), (3, 1, 1), (1, 9, 1)],
)
def test_so_many_frames_may_be_under_way(wanted: int | None, advised: int | None, frames: int) -> None:
    steps = [] if advised is None else [Advice(advised)]
    assert limit(StreamOptions(max_in_flight=wanted), *steps) == frames


def test_the_latest_advice_counts_and_none_after_the_connection_it_came_over() -> None:
    assert limit(StreamOptions(), Advice(5), Advice(3)) == 3
    assert limit(StreamOptions(), Advice(5), None) == 2


def test_with_every_one_frame_is_under_way_whatever_is_advised() -> None:
    assert limit(StreamOptions(delivery=Delivery.EVERY), Advice(5)) == 1


def test_advice_that_is_ignored_is_known_all_the_same() -> None:
    flight = Flight(1)
    allowance = Allowance(StreamOptions(obey_advice=False), flight)
    allowance.follow(Advice(7, 1.0, 320, 50))
    assert (flight.limit, allowance.encoding) == (2, JpegEncoding())
    assert allowance.advice == Advice(7, 1.0, 320, 50)


@pytest.mark.parametrize(
    ("mine", "advice", "used"),
    [
        (JpegEncoding(), Advice(1), JpegEncoding()),
        (JpegEncoding(), Advice(1, jpeg_quality=70), JpegEncoding(quality=70)),
        (JpegEncoding(quality=90), Advice(1, jpeg_quality=70), JpegEncoding(quality=90)),
        (JpegEncoding(), Advice(1, longest_side=640), JpegEncoding(max_side=640)),
        (JpegEncoding(max_side=320), Advice(1, longest_side=640), JpegEncoding(max_side=320)),
        (JpegEncoding(max_side=960), Advice(1, longest_side=640), JpegEncoding(max_side=640)),
        (JpegEncoding(max_width=320), Advice(1, longest_side=640), JpegEncoding(max_width=320, max_side=640)),
        (JpegEncoding(), Advice(1, longest_side=3), JpegEncoding(max_side=16)),
    ],
)
def test_the_encoding_keeps_what_was_asked_for_and_takes_the_smaller_size(
    mine: JpegEncoding, advice: Advice, used: JpegEncoding
) -> None:
    allowance = Allowance(StreamOptions(encoding=mine), Flight(1))
    allowance.follow(advice)
    assert allowance.encoding == used
    allowance.forget()
    assert allowance.encoding == mine


async def sendings(allowance: Allowance, seconds: float) -> int:
    """Frames that may be sent in so long."""
    end_s = asyncio.get_running_loop().time() + seconds
    for count in itertools.count():
        try:
            async with asyncio.timeout_at(end_s):
                await allowance.turn()
        except TimeoutError:
            return count
        allowance.used()
    raise AssertionError


async def test_no_more_frames_than_advised_are_sent_a_second() -> None:
    allowance = Allowance(StreamOptions(), Flight(1))
    allowance.follow(Advice(1, frames_per_second=50))
    assert 2 <= await sendings(allowance, 0.4) <= 22


async def test_without_a_rate_nothing_waits() -> None:
    allowance = Allowance(StreamOptions(), Flight(1))
    for _ in range(1000):
        await allowance.turn()
        allowance.used()


async def test_a_higher_rate_ends_the_wait_for_a_lower_one() -> None:
    allowance = Allowance(StreamOptions(), Flight(1))
    allowance.follow(Advice(1, frames_per_second=0.001))
    allowance.used()
    waiting = asyncio.create_task(allowance.turn())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    allowance.follow(Advice(1))
    async with asyncio.timeout(5):
        await waiting


def test_advice_reads_as_a_sentence() -> None:
    assert str(Advice(1)) == "1 frame under way"
    assert (
        str(Advice(3, 7.5, 1280, 80)) == "3 frames under way, 7.5 frames/s, at most 1280 pixels long, JPEG quality 80"
    )
