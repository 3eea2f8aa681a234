"""Work in threads: whoever is cancelled waits until the thread is free, and work that has not begun is left undone."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from server.rpc.threads import run_to_its_end


@pytest.fixture
def one():
    with ThreadPoolExecutor(1) as pool:
        yield pool


async def test_the_answer_and_the_error_of_the_work_come_back(one):
    assert await run_to_its_end(one, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await run_to_its_end(one, lambda: 1 // 0)


@pytest.mark.parametrize("fails", [False, True])
async def test_whoever_is_cancelled_waits_until_the_thread_is_free(one, fails):
    began, gate, ended = threading.Event(), threading.Event(), []

    def work():
        began.set()
        gate.wait()
        ended.append(True)
        if fails:
            raise ValueError("nobody is there to be told")

    running = asyncio.create_task(run_to_its_end(one, work))
    await asyncio.to_thread(began.wait)
    running.cancel()
    await asyncio.sleep(0.01)
    assert not running.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended == [True]


async def test_work_that_has_not_begun_is_left_undone_at_once(one):
    gate, done = threading.Event(), []
    one.submit(gate.wait)
    running = asyncio.create_task(run_to_its_end(one, lambda: done.append(True)))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    gate.set()
    one.shutdown()
    assert done == []
