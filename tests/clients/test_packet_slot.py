"""Packets are left out only from some point up to the next key frame."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from clients.frames import AnyFrame, PacketCodec, PacketFrame, Stamp
from clients.packet_slot import PacketSlot
from clients.slot import Delivery

GROUP = 10


def packet(number: int, *, key: bool | None = None) -> PacketFrame:
    """Every tenth one, from 1, is a key frame."""
    is_key = number % GROUP == 1 if key is None else key
    return PacketFrame(Stamp(number, 0, 0), PacketCodec.H264, b"", is_key, 0)


def numbers(packets: list[AnyFrame]) -> list[int]:
    return [each.stamp.sequence for each in packets]


async def taken(slot: PacketSlot) -> list[int]:
    slot.close()
    found = []
    while (each := await slot.take()) is not None:
        found.append(each.stamp.sequence)
    return found


async def filled(count: int) -> PacketSlot:
    slot = PacketSlot(Delivery.NEWEST)
    for number in range(1, count + 1):
        assert await slot.put(packet(number)) == []
    return slot


async def test_packets_come_out_in_order_and_none_gives_way_to_the_next() -> None:
    assert await taken(await filled(10)) == list(range(1, 11))


async def test_a_key_frame_takes_the_place_of_the_group_that_still_waits() -> None:
    slot = await filled(10)
    assert numbers(await slot.put(packet(11))) == list(range(1, 11))
    assert await slot.put(packet(12)) == []
    assert await taken(slot) == [11, 12]


async def test_a_few_packets_that_wait_are_not_given_up_for_a_key_frame() -> None:
    slot = await filled(10)
    for _ in range(5):
        await slot.take()
    assert await slot.put(packet(11)) == []
    assert await taken(slot) == [6, 7, 8, 9, 10, 11]


async def test_a_group_without_end_does_not_fill_the_memory() -> None:
    slot = PacketSlot(Delivery.NEWEST)
    gone = [number for n in range(1, 2000) for number in numbers(await slot.put(packet(n, key=n == 1)))]
    assert len(slot) + len(gone) == 1999
    assert len(slot) <= 512
    assert await slot.put(packet(2000, key=True)) == []


async def test_skipping_goes_on_with_the_first_key_frame_that_waits() -> None:
    assert numbers((await filled(3)).skip()) == []
    slot = PacketSlot(Delivery.NEWEST)
    for number in (8, 9, 10, 11, 12):
        await slot.put(packet(number))
    assert numbers(slot.skip()) == [8, 9, 10]
    assert await taken(slot) == [11, 12]


async def test_skipping_goes_on_with_a_key_frame_that_has_yet_to_come() -> None:
    slot = await filled(3)
    await slot.take()
    assert numbers(slot.skip()) == [2, 3]
    assert numbers(await slot.put(packet(4))) == [4]
    assert await slot.put(packet(11)) == []
    assert await slot.put(packet(12)) == []
    assert await taken(slot) == [11, 12]


async def test_with_every_reading_waits_until_the_packet_before_was_taken() -> None:
    slot = PacketSlot(Delivery.EVERY)
    await slot.put(packet(1))
    putting = asyncio.create_task(slot.put(packet(2)))
    await asyncio.sleep(0)
    assert not putting.done()
    await slot.take()
    assert await putting == []


async def test_a_closed_slot_lets_nothing_in() -> None:
    slot = await filled(2)
    slot.close()
    assert numbers(await slot.put(packet(3))) == [3]
    assert await taken(slot) == [1, 2]


async def test_nothing_is_taken_back() -> None:
    slot = await filled(3)
    first = await slot.take()
    assert first is not None
    assert numbers(slot.put_back([first])) == [1, 2, 3]


@given(st.lists(st.sampled_from(["put", "take", "skip"]), max_size=200))
async def test_what_is_taken_is_whole_groups_from_their_beginning(steps: list[str]) -> None:
    slot, number, out, gone = PacketSlot(Delivery.NEWEST), 0, [], []
    for step in steps:
        if step == "put":
            number += 1
            gone += numbers(await slot.put(packet(number)))
        elif step == "skip":
            gone += numbers(slot.skip())
        elif len(slot):
            each = await slot.take()
            assert each is not None
            out.append(each.stamp.sequence)
    out += await taken(slot)
    assert sorted(out + gone) == list(range(1, number + 1))
    assert all(n % GROUP == 1 or n - 1 in out for n in out)
