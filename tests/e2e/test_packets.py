"""Cameras that forward their packets, against a real server: what is recognised, and what becomes of the decoders."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
from facestream.v1 import image_pb2

from clients import Client, Delivery, Recognised, StreamOptions, open_packets, open_source
from tests.e2e.raw import RawStream, config, connected, frame, picture, refusal_in, streaming
from tests.encoded import encoded
from tests.painted import PAINTED_FLAGS
from tests.server_process import ServerProcess

H264 = image_pb2.IMAGE_CODEC_H264

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc")


@pytest.fixture(scope="module")
def server(tmp_path_factory, painted_models):
    """A server that every test leaves as it was."""
    with ServerProcess(tmp_path_factory.mktemp("data"), *PAINTED_FLAGS, models_dir=painted_models) as running:
        yield running


def decoders_of(server):
    """The processes that a server has started."""
    threads = Path(f"/proc/{server.process.pid}/task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_text().split()]


def is_gone(pid):
    for _ in range(1500):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.01)
    return False


def packets(*place, group=5, count=20, **fields):
    made = [packet.data for packet in encoded(count, group=group, **fields)]
    return [made[i] for i in place] if place else made


def said(answer):
    kind = answer.WhichOneof("message")
    return refusal_in(answer.error).reason if kind == "error" else kind


def test_every_packet_is_answered_with_what_became_of_it(server):
    made = packets()
    with connected(server.address) as stubs, streaming(stubs) as stream:
        answers = [said(stream.ask(1, picture(made[1], codec=H264)))]
        answers += [said(stream.ask(n, picture(made[n], codec=H264))) for n in range(5, 8)]
        answers += [said(stream.ask(9, picture(made[9], codec=H264)))]
        answers += [said(stream.ask(n, picture(made[n], codec=H264))) for n in (10, 11)]
    assert answers == ["KEY_FRAME_NEEDED", *["result"] * 3, "KEY_FRAME_NEEDED", "result", "result"]


def test_a_killed_decoder_costs_frames_up_to_the_next_key_frame_and_nothing_else(server):
    made = packets()
    with connected(server.address) as stubs, streaming(stubs) as stream:
        assert said(stream.ask(1, picture(made[0], codec=H264))) == "result"
        (decoder,) = decoders_of(server)
        os.kill(decoder, signal.SIGKILL)
        answers = [said(stream.ask(n + 1, picture(made[n], codec=H264))) for n in range(1, 8)]
        assert answers == ["DECODER_FAILED", *["KEY_FRAME_NEEDED"] * 3, *["result"] * 3]
        assert len(decoders_of(server)) == 1
    assert [entry for entry in server.log if entry["level"] == "ERROR"] == []


def test_a_huge_picture_is_an_error_of_its_frame(server):
    (huge,) = packets(0, count=1, size=(8192, 2160), params={"preset": "ultrafast"})
    with connected(server.address) as stubs, streaming(stubs) as stream:
        answer = stream.ask(1, picture(huge, codec=H264))
        assert (said(answer), "8192x2160" in answer.error.message) == ("IMAGE_PIXELS_EXCEEDED", True)
        assert said(stream.ask(2, picture(packets(0)[0], codec=H264))) == "result"


def test_garbage_is_answered_frame_by_frame(server):
    rng = random.Random(5)
    made = packets(noise=20, count=30)
    with connected(server.address) as stubs:
        with streaming(stubs) as stream:
            for number in range(1, 121):
                data = bytearray(made[number % len(made)])
                for _ in range(rng.randrange(8)):
                    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
                data = data[: rng.randrange(1, len(data) + 1)] if rng.random() < 0.2 else data
                stream.ask(number, picture(bytes(data), codec=H264))
        with streaming(stubs) as stream:
            assert said(stream.ask(1, picture(made[0], codec=H264))) == "result"
    assert [entry for entry in server.log if entry["level"] == "ERROR"] == []


def test_a_stream_that_ends_takes_its_decoder_along(server):
    (key,) = packets(0)
    with connected(server.address) as stubs:
        for _ in range(3):
            with streaming(stubs) as stream:
                stream.ask(1, picture(key, codec=H264))
                assert len(decoders_of(server)) == 1
            assert decoders_of(server) == []


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_no_decoder_outlives_its_server(tmp_path, painted_models, how):
    (key,) = packets(0)
    with ServerProcess(tmp_path / "data", *PAINTED_FLAGS, models_dir=painted_models) as server:
        with connected(server.address) as stubs:
            stream = RawStream(stubs, config(), frame(1, picture(key, codec=H264)))
            assert [said(next(stream.answers)) for _ in range(2)] == ["ready", "result"]
            (decoder,) = decoders_of(server)
            getattr(server, how)()
        assert is_gone(decoder)


@pytest.mark.models
@pytest.mark.data
@pytest.mark.slow
async def test_forwarded_packets_are_recognised_like_the_pictures_that_a_client_decodes(real_server, real_data, stubs):
    clip = real_data / "clips" / "hamilton.mp4"
    options = StreamOptions(delivery=Delivery.EVERY)
    async with Client(real_server.address, timeout_s=60) as client:
        counts = []
        for source in (open_source(str(clip)), open_packets(str(clip))):
            async with client.stream(source, options) as stream:
                answers = [answer.outcome async for answer in stream]
            assert stream.tally.recognised == stream.tally.read == 275
            counts.append([len(outcome.faces) for outcome in answers if isinstance(outcome, Recognised)])
    same = sum(a == b for a, b in zip(*counts, strict=True))
    assert same >= 0.9 * 275
