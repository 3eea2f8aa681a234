from __future__ import annotations

import asyncio

from clients.flight import Flight
from tests.clients.conftest import frame


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_room_is_there_until_the_limit_and_again_after_a_landing() -> None:
    flight = Flight(2)
    for number in (1, 2):
        await flight.room()
        flight.depart(frame(number), at_s=number)
    waiting = asyncio.create_task(flight.room())
    await settled()
    assert not waiting.done()
    flight.land(1)
    await waiting


async def test_a_frame_lands_once() -> None:
    flight = Flight(2)
    sent = frame(7)
    flight.depart(sent, at_s=0)
    assert flight.land(7) is sent
    assert flight.land(7) is None
    assert flight.land(8) is None


async def test_landed_waits_for_the_last_frame() -> None:
    flight = Flight(2)
    flight.depart(frame(1), at_s=0)
    flight.depart(frame(2), at_s=0)
    landed = asyncio.create_task(flight.landed())
    flight.land(1)
    await settled()
    assert not landed.done()
    flight.land(2)
    await landed


def test_the_oldest_departure_counts() -> None:
    flight = Flight(3)
    assert flight.oldest_s() is None
    for number, at_s in ((1, 5.0), (2, 3.0), (3, 9.0)):
        flight.depart(frame(number), at_s=at_s)
    assert flight.oldest_s() == 3.0


def test_a_crash_tells_the_frames_that_the_server_may_have_from_the_others() -> None:
    flight = Flight(3)
    frames = {number: frame(number) for number in (3, 1, 2)}
    for each in frames.values():
        flight.depart(each, at_s=0)
    flight.sent(3)
    flight.sent(1)
    assert flight.crash() == ([frames[1], frames[3]], [frames[2]])
    assert len(flight) == 0


async def test_a_higher_limit_gives_room_at_once_and_a_lower_one_recalls_nobody() -> None:
    flight = Flight(1)
    flight.depart(frame(1), at_s=0)
    waiting = asyncio.create_task(flight.room())
    await settled()
    assert not waiting.done()
    flight.limit = 2
    await waiting
    flight.depart(frame(2), at_s=0)
    flight.limit = 1
    assert (len(flight), flight.is_full) == (2, True)
    flight.land(1)
    assert flight.is_full
    flight.land(2)
    assert not flight.is_full
