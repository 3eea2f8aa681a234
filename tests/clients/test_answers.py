from __future__ import annotations

import asyncio

from clients.answers import AnswerQueue
from clients.frames import Dropped, DropReason, FrameAnswer, Side, Stamp


def answer(number: int) -> FrameAnswer:
    return FrameAnswer(Stamp(number, 0, 0), Dropped(Side.CLIENT, DropReason.SUPERSEDED))


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_answers_come_in_the_order_in_which_they_went_in() -> None:
    queue = AnswerQueue(1)
    for number in range(5):
        queue.put(answer(number))
    assert [(await queue.take()).stamp.sequence for _ in range(5)] == [0, 1, 2, 3, 4]


async def test_room_comes_when_an_answer_is_taken() -> None:
    queue = AnswerQueue(2)
    await queue.room()
    queue.put(answer(1))
    await queue.room()
    queue.put(answer(2))
    waiting = asyncio.create_task(queue.room())
    await settled()
    assert not waiting.done()
    await queue.take()
    await waiting


async def test_a_closed_queue_gives_the_rest_and_then_nothing() -> None:
    queue = AnswerQueue(1)
    queue.put(answer(1))
    full = asyncio.create_task(queue.room())
    await settled()
    queue.close()
    await full
    assert (await queue.take()).stamp.sequence == 1
    assert await queue.take() is None
    assert await queue.take() is None
