"""Only so many permits are held at once, none is lost, and whoever has had least is next."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from server.rpc.permits import Permits


def permits_of(count):
    ticks = itertools.count(0, 10**6)
    return Permits(count, lambda: next(ticks))


async def test_so_many_are_held_at_once_and_no_more():
    permits, now, most = permits_of(3), 0, 0

    async def user(number):
        nonlocal now, most
        async with permits.held(f"camera-{number % 4}"):
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1

    await asyncio.gather(*(user(number) for number in range(40)))
    assert (most, now) == (3, 0)


async def test_the_camera_that_has_had_least_is_next_however_late_it_asks():
    permits, order, gate = permits_of(1), [], asyncio.Event()

    async def user(session):
        async with permits.held(session):
            order.append(session)
            await gate.wait()

    tasks = [asyncio.create_task(user("greedy")) for _ in range(4)]
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(user("modest")))
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*tasks)
    assert order.index("modest") == 1


@pytest.mark.parametrize("granted", [False, True], ids=["while it waits", "in the moment in which it is given one"])
async def test_who_gives_up_loses_no_permit(granted):
    permits, gate = permits_of(1), asyncio.Event()

    async def hold():
        async with permits.held("holder"):
            await gate.wait()

    async def want():
        async with permits.held("fickle"):
            raise AssertionError("it gave up before")

    holder, fickle = asyncio.create_task(hold()), asyncio.create_task(want())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if granted:
        gate.set()
        await holder
    fickle.cancel()
    gate.set()
    await asyncio.gather(holder, fickle, return_exceptions=True)
    async with asyncio.timeout(5), permits.held("next"):
        pass
