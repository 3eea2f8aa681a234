from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import grpc
import pytest
from facestream.v1 import recognition_pb2

from clients.channel import open_channel
from clients.connection import Connection, Ended, Ending
from clients.errors import UnavailableError
from clients.fake.script import Abort, Close
from clients.fake.server import FakeServer
from clients.frames import Stamp
from clients.wire.requests import camera_frame, stream_config
from clients.wire.stream import Ready

CONFIG = stream_config(camera="door", gallery="", target_far=0, max_frame_age_s=0)
FRAME = camera_frame(Stamp(1, 0, 0), b"jpeg")
Response = recognition_pb2.StreamRecognizeResponse


@pytest.fixture
async def connection(fake: FakeServer) -> AsyncIterator[Connection]:
    connection = Connection(open_channel(fake.target), fake.target)
    yield connection
    await connection.aclose()


async def test_an_open_stream_says_ready_and_ends_in_order_when_it_is_finished(connection: Connection) -> None:
    assert isinstance(await connection.open(CONFIG, timeout_s=5), Ready)
    await connection.finish()
    ended = await connection.receive()
    assert isinstance(ended, Ended)
    assert ended.ending is Ending.FINISHED


async def test_a_stream_that_the_server_closes_by_itself_is_broken(connection: Connection, fake: FakeServer) -> None:
    fake.recognition.script = lambda _: Close()
    await connection.open(CONFIG, timeout_s=5)
    assert await connection.send(FRAME)
    ended = await connection.receive()
    assert (ended.ending, ended.error.message) == (Ending.BROKEN, f"{fake.target} ended the stream")


async def test_sending_after_the_end_says_so_and_the_reason_is_read(connection: Connection, fake: FakeServer) -> None:
    fake.recognition.script = lambda _: Abort(grpc.StatusCode.INTERNAL, "it broke")
    await connection.open(CONFIG, timeout_s=5)
    await connection.send(FRAME)
    ended = await connection.receive()
    assert (ended.ending, ended.error.message) == (Ending.BROKEN, "it broke")
    assert await connection.send(FRAME) is False
    await connection.finish()


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, Ending.REFUSED),
        (grpc.StatusCode.NOT_FOUND, Ending.REFUSED),
        (grpc.StatusCode.PERMISSION_DENIED, Ending.REFUSED),
        (grpc.StatusCode.UNIMPLEMENTED, Ending.REFUSED),
        (grpc.StatusCode.UNAVAILABLE, Ending.BROKEN),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Ending.BROKEN),
        (grpc.StatusCode.UNKNOWN, Ending.BROKEN),
        (grpc.StatusCode.CANCELLED, Ending.BROKEN),
    ],
)
async def test_only_errors_that_would_come_again_are_refusals(
    connection: Connection, fake: FakeServer, code: grpc.StatusCode, ending: Ending
) -> None:
    fake.recognition.script = lambda _: Abort(code, "no")
    await connection.open(CONFIG, timeout_s=5)
    await connection.send(FRAME)
    assert (await connection.receive()).ending is ending


async def test_a_cut_connection_gives_the_reason_for_the_cut(connection: Connection) -> None:
    await connection.open(CONFIG, timeout_s=5)
    receiving = asyncio.create_task(connection.receive())
    await asyncio.sleep(0.01)
    connection.cut("no answer for 30 s")
    connection.cut("another reason")
    ended = await receiving
    assert (ended.ending, ended.error.message) == (Ending.BROKEN, "no answer for 30 s")


async def test_a_receiver_can_be_cancelled(connection: Connection) -> None:
    await connection.open(CONFIG, timeout_s=5)
    receiving = asyncio.create_task(connection.receive())
    await asyncio.sleep(0.01)
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving


async def test_a_cancelled_sender_does_not_end_the_call(connection: Connection, fake: FakeServer) -> None:
    """grpc cancels a call whose write is cancelled; a draining server's last answers would be lost with it."""
    await connection.open(CONFIG, timeout_s=5)
    sending = asyncio.create_task(connection.send(FRAME))
    await asyncio.sleep(0)
    sending.cancel()
    await asyncio.wait([sending])
    said = await connection.receive()
    assert said.sequence == 1


async def test_a_port_that_nobody_serves_is_given_up_after_the_time_for_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = f"127.0.0.1:{listener.getsockname()[1]}"
        connection = Connection(open_channel(target), target)
        ended = await connection.open(CONFIG, timeout_s=0.2)
        await connection.aclose()
    assert isinstance(ended, Ended)
    assert ended.ending is Ending.BROKEN
    assert isinstance(ended.error, UnavailableError)


@pytest.mark.parametrize(
    ("first", "text"),
    [(Response(drain=recognition_pb2.Drain()), "is shutting down"), (Response(sequence=3), "is open")],
)
async def test_a_stream_that_does_not_begin_with_ready_is_broken(first: Response, text: str) -> None:
    from facestream.v1 import recognition_pb2_grpc

    class Odd(recognition_pb2_grpc.RecognitionServiceServicer):
        async def StreamRecognize(  # noqa: N802 - the name in the API
            self, request_iterator: object, context: object
        ) -> AsyncIterator[Response]:
            del request_iterator, context
            # A message without a kind is of a newer server, and is passed over.
            yield Response()
            yield first if first.WhichOneof("message") else Response(sequence=3, result=recognition_pb2.FrameResult())

        Recognize = Verify = Embed = None

    server = grpc.aio.server()
    recognition_pb2_grpc.add_RecognitionServiceServicer_to_server(Odd(), server)
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    connection = Connection(open_channel(target), target)
    ended = await connection.open(CONFIG, timeout_s=5)
    await connection.aclose()
    await server.stop(0)
    assert isinstance(ended, Ended)
    assert text in ended.error.message
