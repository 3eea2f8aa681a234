from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from clients.errors import SourceError
from clients.feed import Feed
from clients.frames import Frame
from clients.slot import Delivery, FrameSlot
from clients.sources.source import Frames
from tests.clients.conftest import frame


class Books:
    """Counts, and takes what the slot gives."""

    def __init__(self) -> None:
        self.read = 0
        self.gone: list[int] = []
        self.two = asyncio.Event()

    def came(self) -> None:
        self.read += 1
        if self.read == 2:
            self.two.set()

    def displaced(self, frame: Frame) -> None:
        self.gone.append(frame.stamp.sequence)

    async def room(self) -> None:
        pass


async def taken(slot: FrameSlot) -> list[Frame]:
    frames = []
    while (each := await slot.take()) is not None:
        frames.append(each)
    return frames


async def test_with_every_all_frames_come_in_order() -> None:
    slot, books = FrameSlot(Delivery.EVERY), Books()
    feed = Feed(Frames(frame(number) for number in range(1, 8)), slot, paced=False)
    feeding = asyncio.create_task(feed.run(books))
    frames = await taken(slot)
    assert await feeding is None
    await feed.aclose()
    assert [each.stamp.sequence for each in frames] == list(range(1, 8))
    assert (books.read, books.gone) == (7, [])


async def test_a_paced_feed_gives_each_frame_at_its_time_and_stamps_it_then() -> None:
    waits: list[float] = []
    now_ns = 1_000

    async def sleep(seconds: float) -> None:
        nonlocal now_ns
        waits.append(seconds)
        now_ns += 500

    slot, books = FrameSlot(Delivery.NEWEST), Books()
    source = Frames([frame(number, fps=0.1, captured_at_ns=7) for number in (1, 2, 3)])
    feed = Feed(source, slot, paced=True, clock=lambda: now_ns, sleep=sleep)
    await feed.run(books)
    await feed.aclose()
    # Ten seconds apart, less the little time that passed: the fake sleep passes none.
    assert waits == pytest.approx([0, 10, 20], abs=1)
    assert books.gone == [1, 2]
    (last,) = await taken(slot)
    assert (last.stamp.sequence, last.stamp.captured_at_ns) == (3, 2_500)


async def test_a_source_that_breaks_off_gives_its_frames_and_its_error() -> None:
    def frames() -> Iterator[Frame]:
        yield frame(1)
        raise SourceError("the cable is gone")

    slot, books = FrameSlot(Delivery.EVERY), Books()
    feed = Feed(Frames(frames()), slot, paced=False)
    feeding = asyncio.create_task(feed.run(books))
    assert [each.stamp.sequence for each in await taken(slot)] == [1]
    error = await feeding
    await feed.aclose()
    assert error is not None
    assert error.message == "the cable is gone"


async def test_a_cancelled_feed_accounts_for_the_frame_in_its_hand() -> None:
    slot, books = FrameSlot(Delivery.EVERY), Books()
    feed = Feed(Frames(frame(number) for number in range(1, 100)), slot, paced=False)
    feeding = asyncio.create_task(feed.run(books))
    await books.two.wait()
    feeding.cancel()
    await asyncio.wait([feeding])
    await feed.aclose()
    assert books.read == len(slot.clear()) + len(books.gone)


async def test_closing_waits_for_a_read_and_then_closes_the_source_in_the_same_thread() -> None:
    threads: list[int] = []
    interrupted = threading.Event()

    class Slow:
        description, live, expected, fps = "slow", True, 0, 0.0

        def __iter__(self) -> Iterator[Frame]:
            threads.append(threading.get_ident())
            interrupted.wait(5)
            yield frame(1)

        def interrupt(self) -> None:
            interrupted.set()

        def close(self) -> None:
            threads.append(threading.get_ident())

    feed = Feed(Slow(), FrameSlot(Delivery.NEWEST), paced=False)
    feeding = asyncio.create_task(feed.run(Books()))
    await asyncio.sleep(0.02)
    feeding.cancel()
    await asyncio.wait([feeding])
    await feed.aclose()
    assert len(threads) == 2
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()
