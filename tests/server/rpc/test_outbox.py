"""What a camera is told is counted, written in order, and never held for a camera that is gone."""

from __future__ import annotations

import asyncio

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from server.domain import Faces
from server.errors import InvalidInputError
from server.pipeline.recognise import Recognition
from server.pipeline.slot import DropReason
from server.rpc.outbox import Outbox, Response

AT = Timestamp(seconds=7)


@pytest.fixture
def nobody():
    return Recognition(
        width=8, height=6, faces=Faces.none(), recognised=(), gallery_revision=3, spent_ns={"detect": 2}, looks={}
    )


async def test_answers_are_written_in_order_and_counted_by_outcome(metrics, count, nobody):
    written = []

    async def write(answer):
        written.append(answer)

    outbox = Outbox(write, metrics.frames)
    await outbox.say(Response())
    await outbox.result(1, AT, nobody, queue_ns=5, total_ns=9)
    await outbox.dropped(2, AT, DropReason.TOO_OLD)
    await outbox.error(3, AT, InvalidInputError("FRAME_MISSING", "no frame"))
    await outbox.close()
    await outbox.write_all()
    assert [(answer.sequence, answer.WhichOneof("message")) for answer in written] == [
        (0, None),
        (1, "result"),
        (2, "dropped"),
        (3, "error"),
    ]
    assert all(answer.captured_at == AT for answer in written[1:])
    outcomes = ("result", "dropped", "error")
    assert [count("facestream_frames_total", outcome=outcome) for outcome in outcomes] == [1, 1, 1]
    assert count("facestream_frames_dropped_total", reason="too_old") == 1
    for stage in ("detect", "queue", "total"):
        assert count("facestream_stage_duration_seconds_count", stage=stage) == 1


async def test_nobody_waits_for_room_once_the_camera_is_gone(metrics):
    async def write(answer):
        raise ConnectionError("gone")

    outbox = Outbox(write, metrics.frames)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(outbox.write_all())
        for sequence in range(1000):
            await outbox.dropped(sequence, AT, DropReason.SUPERSEDED)
        await outbox.close()


async def test_a_camera_that_reads_nothing_keeps_only_so_much_waiting(metrics):
    async def write(answer):
        await asyncio.Event().wait()

    outbox, taken = Outbox(write, metrics.frames), []

    async def fill():
        for number in range(1000):
            await outbox.say(Response())
            taken.append(number)

    writing, filling = asyncio.ensure_future(outbox.write_all()), asyncio.ensure_future(fill())
    for _ in range(5000):
        await asyncio.sleep(0)
    assert 0 < len(taken) < 100
    assert not filling.done()
    for task in (writing, filling):
        task.cancel()
