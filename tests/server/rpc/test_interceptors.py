"""Whatever a method raises or a client sends becomes a status with a reason; nothing else gets out."""

from __future__ import annotations

import asyncio
import logging

import grpc
import pytest
from google.protobuf.message import DecodeError

from server.errors import ExhaustedError, NotFoundError
from server.telemetry.logs import request_id
from tests.server.rpc.served import Refused, refused_by, served

METHOD = "/facestream.test.Service"


class Service(grpc.GenericRpcHandler):
    """A unary and a streaming method that do what the test wants; messages are bytes, save b"garbage"."""

    def __init__(self, behaviour):
        self._behaviour = behaviour

    def service(self, details):
        if details.method == f"{METHOD}/Unary":
            return grpc.unary_unary_rpc_method_handler(self._unary, _parse, bytes)
        if details.method == f"{METHOD}/Stream":
            return grpc.stream_stream_rpc_method_handler(self._stream, _parse, bytes)
        if details.method == "/other.Service/Unary":
            return grpc.unary_unary_rpc_method_handler(self._unary, _parse, bytes)
        return None

    async def _unary(self, request, context):
        return await self._behaviour(request, context)

    async def _stream(self, requests, context):
        async for request in requests:
            await context.write(await self._behaviour(request, context))


def _parse(data):
    if data == b"garbage":
        raise DecodeError("wire type 7 at byte 0")
    return data


@pytest.fixture
def calling(metrics):
    """Serves a behaviour; gives its unary and its streaming method."""

    def calling_it(behaviour):
        return served(lambda server: server.add_generic_rpc_handlers((Service(behaviour),)), metrics)

    return calling_it


async def echo(request, context):
    return request.upper()


async def test_calls_are_answered_and_counted(calling, count):
    async with calling(echo) as channel:
        assert await channel.unary_unary(f"{METHOD}/Unary")(b"hello") == b"HELLO"
        stream = channel.stream_stream(f"{METHOD}/Stream")(iter([b"a", b"b"]))
        assert [answer async for answer in stream] == [b"A", b"B"]
    assert count("facestream_calls_total", method=f"{METHOD}/Unary", status="OK") == 1
    assert count("facestream_calls_total", method=f"{METHOD}/Stream", status="OK") == 1
    assert count("facestream_call_duration_seconds_count", method=f"{METHOD}/Unary") == 1


async def test_bytes_that_are_no_message_are_an_invalid_argument_on_both_kinds_of_methods(calling, count):
    async with calling(echo) as channel:
        refusal = await refused_by(channel.unary_unary(f"{METHOD}/Unary")(b"garbage"))
        assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "MESSAGE_MALFORMED")
        stream = channel.stream_stream(f"{METHOD}/Stream")(iter([b"a", b"garbage", b"b"]))
        assert await stream.read() == b"A"
        refusal = await refused_by(stream.read())
        assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "MESSAGE_MALFORMED")
    assert count("facestream_calls_total", method=f"{METHOD}/Unary", status="INVALID_ARGUMENT") == 1


@pytest.mark.parametrize("method", ["Unary", "Stream"])
async def test_an_error_that_is_meant_becomes_its_status(calling, count, method):
    async def refuse(request, context):
        raise NotFoundError("NOBODY", f"nobody is called {request.decode()}", field="name")

    async with calling(refuse) as channel:
        refusal = await refused_by(call(channel, method, b"Ada"))
    assert refusal == Refused("NOT_FOUND", "NOBODY", "nobody is called Ada", "name")
    assert count("facestream_calls_total", method=f"{METHOD}/{method}", status="NOT_FOUND") == 1


@pytest.mark.parametrize("method", ["Unary", "Stream"])
async def test_a_call_that_the_client_gives_up_is_counted_as_cancelled(calling, count, method):
    began = asyncio.Event()

    async def hang(request, context):
        began.set()
        await asyncio.Event().wait()

    def cancelled():
        return count("facestream_calls_total", method=f"{METHOD}/{method}", status="CANCELLED")

    async with calling(hang) as channel:
        waiting = asyncio.ensure_future(call(channel, method, b"Ada"))
        await began.wait()
        waiting.cancel()
        for _ in range(500):
            if cancelled():
                break
            await asyncio.sleep(0.01)
    assert cancelled() == 1


def call(channel, method, message):
    if method == "Unary":
        return channel.unary_unary(f"{METHOD}/Unary")(message)
    return channel.stream_stream(f"{METHOD}/Stream")(iter([message])).read()


@pytest.mark.parametrize("method", ["Unary", "Stream"])
async def test_an_error_that_is_not_meant_is_logged_and_tells_the_client_nothing(calling, caplog, method):
    async def fail(request, context):
        raise RuntimeError("/secret/path")

    with caplog.at_level(logging.ERROR):
        async with calling(fail) as channel:
            refusal = await refused_by(call(channel, method, b"x"))
    assert (refusal.code, refusal.reason) == ("INTERNAL", "INTERNAL")
    assert "secret" not in refusal.message
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "/secret/path" in str(record.exc_info[1])


async def test_a_long_message_arrives(calling):
    async def refuse(request, context):
        raise ExhaustedError("TOO_MUCH", "\u732b" * 100_000)

    async with calling(refuse) as channel:
        refusal = await refused_by(channel.unary_unary(f"{METHOD}/Unary")(b"x"))
    assert refusal.reason == "TOO_MUCH"


async def test_a_status_that_the_method_set_itself_is_left_alone(calling):
    async def abort(request, context):
        await context.abort(grpc.StatusCode.DATA_LOSS, "its own words")

    async with calling(abort) as channel:
        refusal = await refused_by(channel.unary_unary(f"{METHOD}/Unary")(b"x"))
    assert refusal == Refused("DATA_LOSS", "", "its own words")


async def test_every_call_has_an_id_of_its_own(calling):
    async def say_id(request, context):
        before = request_id.get()
        await asyncio.sleep(0.01)
        assert request_id.get() == before
        return before.encode()

    async with calling(say_id) as channel:
        method = channel.unary_unary(f"{METHOD}/Unary")
        ids = await asyncio.gather(*(method(b"x") for _ in range(20)))
    assert len(set(ids)) == 20
    assert all(len(one) == 12 for one in ids)


async def test_services_of_others_are_left_alone(calling, count):
    async with calling(echo) as channel:
        assert await channel.unary_unary("/other.Service/Unary")(b"hello") == b"HELLO"
    assert count("facestream_calls_total", method="/other.Service/Unary", status="OK") == 0


async def test_a_method_that_is_not_there_is_unimplemented(calling):
    async with calling(echo) as channel:
        refusal = await refused_by(channel.unary_unary(f"{METHOD}/Nothing")(b"x"))
    assert refusal.code == "UNIMPLEMENTED"
