"""People come and go while cameras stream, and a flood of frames is answered to the last."""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
import time
import uuid
from collections import Counter

import cv2
import numpy as np
import pytest
from facestream.v1 import recognition_pb2

from clients import Client, Delivery, Frame, Frames, Match, Photo, Recognised, Stamp, StreamOptions, Unknown
from tests.e2e.conftest import small_jpeg
from tests.e2e.raw import RawStream, config, connected, frame, picture

pytestmark = [pytest.mark.models, pytest.mark.data]

NAME = "Joe Biden"


@pytest.fixture(scope="module")
def face(stills):
    """A JPEG of somebody."""
    return small_jpeg(stills / "joe_biden_1.jpg")


@pytest.fixture
async def client(real_server):
    """A client of a gallery that nobody else uses."""
    async with Client(real_server.address, gallery=f"live-{uuid.uuid4().hex[:8]}", timeout_s=60) as connected_client:
        yield connected_client


def photo(data, name="photo"):
    return Photo(name, data)


def camera_at(jpeg):
    """A source that shows the same picture for ever."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return Frames(Frame(Stamp(number, time.time_ns(), number * 10**8), image) for number in itertools.count(1))


class Watcher:
    """A running stream, and what it has answered so far."""

    def __init__(self, stream):
        self.answers = []
        self._stream = stream
        self._more = asyncio.Condition()
        self._task = asyncio.create_task(self._watch())

    async def _watch(self):
        async for answer in self._stream:
            async with self._more:
                self.answers.append(answer.outcome)
                self._more.notify_all()

    async def more(self, count=3):
        """Waits for so many further answers, and gives them."""
        before = len(self.answers)
        async with asyncio.timeout(60), self._more:
            await self._more.wait_for(lambda: len(self.answers) >= before + count or self._task.done())
        return self.answers[before:]

    async def finish(self):
        """Ends the stream; the answers to all frames that were worked on."""
        self._stream.stop()
        await self._task
        return [outcome for outcome in self.answers if isinstance(outcome, Recognised)]


def is_named(outcome):
    return any(isinstance(seen.answer, Match) and seen.answer.display_name == NAME for seen in outcome.faces)


def watching(client, jpeg):
    return client.stream(camera_at(jpeg), StreamOptions(delivery=Delivery.EVERY))


async def test_a_person_is_named_from_the_first_frame_that_is_sent_after_the_enrolment(client, face):
    async with watching(client, face) as stream:
        watcher = Watcher(stream)
        assert not any(map(is_named, await watcher.more()))
        enrolment = await client.enrol(NAME, [photo(face)])
        _under_way, *sent_afterwards = await watcher.more(5)
        answers = await watcher.finish()
    assert all(map(is_named, sent_afterwards))
    assert [is_named(answer) for answer in answers] == [
        answer.gallery_revision >= enrolment.gallery_revision for answer in answers
    ]


async def test_a_person_is_unknown_from_the_first_frame_that_is_sent_after_the_deletion(client, face):
    enrolment = await client.enrol(NAME, [photo(face)])
    async with watching(client, face) as stream:
        watcher = Watcher(stream)
        assert all(map(is_named, await watcher.more()))
        receipt = await client.delete(enrolment.identity.name)
        _under_way, *sent_afterwards = await watcher.more(5)
        answers = await watcher.finish()
    assert not any(map(is_named, sent_afterwards))
    assert all(isinstance(seen.answer, Unknown) for answer in sent_afterwards for seen in answer.faces)
    assert [is_named(answer) for answer in answers] == [
        answer.gallery_revision < receipt.gallery_revision for answer in answers
    ]


async def test_frames_are_answered_while_somebody_is_enrolled(client, face):
    image = cv2.imdecode(np.frombuffer(face, np.uint8), cv2.IMREAD_COLOR)
    versions = [cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80 + i])[1].tobytes() for i in range(16)]
    async with watching(client, face) as stream:
        watcher = Watcher(stream)
        await watcher.more(1)
        before = len(watcher.answers)
        enrolment = await client.enrol(NAME, [photo(data, f"{i}") for i, data in enumerate(versions)])
        meanwhile = watcher.answers[before:]
        await watcher.finish()
    assert sum(outcome.accepted for outcome in enrolment.photos) == 16
    assert len(meanwhile) >= 3
    assert all(isinstance(outcome, Recognised) for outcome in meanwhile)


async def test_a_new_name_is_what_the_next_frame_is_answered_with(client, face):
    enrolment = await client.enrol("A typing mistake", [photo(face)])
    async with watching(client, face) as stream:
        watcher = Watcher(stream)
        assert not any(map(is_named, await watcher.more()))
        await client.rename(enrolment.identity.name, NAME)
        _under_way, *sent_afterwards = await watcher.more(4)
        await watcher.finish()
    assert all(map(is_named, sent_afterwards))


def test_three_cameras_that_send_as_fast_as_they_can_get_one_answer_for_every_frame(real_server, face):
    frames, answers = 150, {}

    def flood(camera):
        with connected(real_server.address) as stubs:
            stream = RawStream(stubs, config(camera))
            stream.send(*(frame(number, picture(face)) for number in range(1, frames + 1)))
            answers[camera] = stream.finish()

    threads = [threading.Thread(target=flood, args=(f"flood-{i}",)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 3
    for said in answers.values():
        assert Counter(answer.sequence for answer in said) == Counter([0, *range(1, frames + 1)])
        kinds = Counter(answer.WhichOneof("message") for answer in said)
        assert set(kinds) == {"ready", "result", "dropped"}
        results = [answer.sequence for answer in said if answer.WhichOneof("message") == "result"]
        assert results == sorted(results)
        assert results[-1] == frames


def test_a_picture_is_answered_alike_in_a_stream_and_alone(real_server, face):
    with connected(real_server.address) as stubs:
        stream = RawStream(stubs, config("alike"), frame(1, picture(face)))
        _ready, streamed = stream.finish()
        alone = stubs.recognition.Recognize(recognition_pb2.RecognizeRequest(image=picture(face)))
    for a, b in zip(streamed.result.faces, alone.result.faces, strict=True):
        assert math.isclose(a.box.left, b.box.left, abs_tol=0.01)
        assert a.WhichOneof("answer") == b.WhichOneof("answer")
