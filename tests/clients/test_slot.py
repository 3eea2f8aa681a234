from __future__ import annotations

import asyncio

import pytest

from clients.slot import Delivery, FrameSlot
from tests.clients.conftest import frame

ONE, TWO, THREE = (frame(number) for number in (1, 2, 3))


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_newest_frame_takes_the_place_of_the_one_that_waits() -> None:
    slot = FrameSlot(Delivery.NEWEST)
    assert await slot.put(ONE) == []
    assert await slot.put(TWO) == [ONE]
    assert await slot.take() is TWO


async def test_with_every_a_second_frame_waits_until_the_first_is_taken() -> None:
    slot = FrameSlot(Delivery.EVERY)
    await slot.put(ONE)
    putting = asyncio.create_task(slot.put(TWO))
    await settled()
    assert not putting.done()
    assert await slot.take() is ONE
    assert await putting == []
    assert await slot.take() is TWO


async def test_taking_waits_for_a_frame() -> None:
    slot = FrameSlot(Delivery.NEWEST)
    taking = asyncio.create_task(slot.take())
    await settled()
    assert not taking.done()
    await slot.put(ONE)
    assert await taking is ONE


async def test_a_closed_slot_gives_what_it_holds_and_then_nothing() -> None:
    slot = FrameSlot(Delivery.NEWEST)
    await slot.put(ONE)
    slot.close()
    assert await slot.put(TWO) == [TWO]
    assert await slot.take() is ONE
    assert await slot.take() is None


@pytest.mark.parametrize("delivery", Delivery)
async def test_closing_wakes_those_who_wait(delivery: Delivery) -> None:
    slot = FrameSlot(delivery)
    taking = asyncio.create_task(slot.take())
    await settled()
    slot.close()
    assert await taking is None


async def test_closing_turns_a_waiting_frame_away() -> None:
    slot = FrameSlot(Delivery.EVERY)
    await slot.put(ONE)
    putting = asyncio.create_task(slot.put(TWO))
    await settled()
    slot.close()
    assert await putting == [TWO]


async def test_frames_that_are_put_back_come_first_with_every() -> None:
    slot = FrameSlot(Delivery.EVERY)
    await slot.put(THREE)
    assert slot.put_back([ONE, TWO]) == []
    assert [await slot.take() for _ in range(3)] == [ONE, TWO, THREE]


@pytest.mark.parametrize(
    ("waiting", "back", "outside", "kept"),
    [
        ([THREE], [ONE, TWO], [ONE, TWO], THREE),
        ([], [ONE, TWO], [ONE], TWO),
        ([], [ONE], [], ONE),
        ([ONE], [], [], ONE),
    ],
)
async def test_of_frames_that_are_put_back_the_newest_is_kept(waiting, back, outside, kept) -> None:
    slot = FrameSlot(Delivery.NEWEST)
    for each in waiting:
        await slot.put(each)
    assert slot.put_back(back) == outside
    assert await slot.take() is kept
    assert len(slot) == 0


async def test_putting_nothing_back_into_an_empty_slot_changes_nothing() -> None:
    slot = FrameSlot(Delivery.NEWEST)
    assert slot.put_back([]) == []
    assert len(slot) == 0


async def test_a_frame_whose_waiting_is_cancelled_is_not_in_the_slot() -> None:
    slot = FrameSlot(Delivery.EVERY)
    await slot.put(ONE)
    putting = asyncio.create_task(slot.put(TWO))
    await settled()
    putting.cancel()
    await asyncio.wait([putting])
    assert slot.clear() == [ONE]


async def test_cancelling_one_who_takes_loses_no_frame() -> None:
    slot = FrameSlot(Delivery.NEWEST)
    taking = asyncio.create_task(slot.take())
    await settled()
    await slot.put(ONE)
    taking.cancel()
    await asyncio.wait([taking])
    assert slot.clear() == ([] if not taking.cancelled() else [ONE])
