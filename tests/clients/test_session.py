"""The stream against a scripted server: whatever happens, every frame is answered exactly once."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator

import cv2
import grpc
import numpy as np
import pytest
from facestream.v1 import image_pb2, recognition_pb2

from clients.encode import JpegEncoding, encode_jpeg
from clients.errors import InvalidRequestError, SourceError, UnavailableError
from clients.faces import Match
from clients.fake.script import (
    Abort,
    Advise,
    Close,
    DrainStream,
    Drop,
    Fail,
    Hang,
    Ignore,
    Say,
    Script,
    Step,
    matching,
)
from clients.fake.server import FakeServer
from clients.frames import (
    Dropped,
    DropReason,
    Failed,
    Frame,
    FrameAnswer,
    Lost,
    PacketCodec,
    PacketFrame,
    Recognised,
    Side,
    Stamp,
)
from clients.options import Patience, StreamOptions
from clients.session import RecognitionStream
from clients.slot import Delivery
from clients.sources.source import Frames
from tests.clients.conftest import frame

QUICK = Patience(first_wait_s=0.01, longest_wait_s=0.05, ready_s=2, answer_s=2, stop_s=1, give_up_s=5)
EVERY = StreamOptions(delivery=Delivery.EVERY, patience=QUICK)
NEWEST = StreamOptions(delivery=Delivery.NEWEST, patience=QUICK)


def file_of(count: int) -> Frames:
    return Frames((frame(number) for number in range(1, count + 1)), expected=count)


def camera(count: int, *, every_s: float = 0.004) -> Frames:
    """A live source: a frame every few milliseconds, whether or not anybody takes it."""

    def frames() -> Iterator[Frame]:
        for number in range(1, count + 1):
            time.sleep(every_s)
            yield frame(number, captured_at_ns=time.time_ns())

    return Frames(frames(), live=True)


def once(number: int, step: Step, otherwise: Step | None = None) -> Script:
    """Does the step the first time that frame comes."""
    done: set[int] = set()

    def script(message: recognition_pb2.CameraFrame) -> Step:
        if message.sequence == number and not done:
            done.add(number)
            return step
        return otherwise or Say()

    return script


async def collect_into(answers: list[FrameAnswer], stream: RecognitionStream) -> None:
    async with stream:
        async for answer in stream:
            answers.append(answer)  # noqa: PERF401 - what came before an error counts


async def collected(stream: RecognitionStream) -> list[FrameAnswer]:
    async with stream:
        return [answer async for answer in stream]


def sequences(answers: list[FrameAnswer], kind: type | None = None) -> list[int]:
    return [a.stamp.sequence for a in answers if kind is None or isinstance(a.outcome, kind)]


def assert_books_balance(stream: RecognitionStream, answers: list[FrameAnswer]) -> None:
    assert Counter(sequences(answers)) == Counter(range(1, stream.tally.read + 1))
    assert stream.tally.settled == stream.tally.read == len(answers)


async def test_every_frame_of_a_file_is_recognised_once_and_in_order(fake: FakeServer) -> None:
    fake.recognition.script = lambda message: Say((matching(f"person {message.sequence}"),))
    stream = RecognitionStream(fake.target, file_of(12), EVERY)
    answers = await collected(stream)
    assert sequences(answers, Recognised) == list(range(1, 13))
    names = [answer.outcome.faces[0].answer.display_name for answer in answers]
    assert names == [f"person {number}" for number in range(1, 13)]
    assert [sent.sequence for sent in fake.recognition.frames] == list(range(1, 13))
    assert_books_balance(stream, answers)


async def test_a_slow_server_gets_the_newest_frames_and_the_others_are_dropped_here(fake: FakeServer) -> None:
    fake.recognition.script = lambda _: Say(after_s=0.03)
    stream = RecognitionStream(fake.target, camera(80), NEWEST)
    answers = await collected(stream)
    assert_books_balance(stream, answers)
    recognised = sequences(answers, Recognised)
    assert recognised == sorted(recognised)
    assert recognised[-1] == 80
    assert 3 <= len(recognised) < 40
    dropped = [answer.outcome for answer in answers if isinstance(answer.outcome, Dropped)]
    assert set(dropped) == {Dropped(Side.CLIENT, DropReason.SUPERSEDED)}
    # Only what was recognised ever went over the wire: nothing ages in buffers on the way.
    assert [sent.sequence for sent in fake.recognition.frames] == recognised


async def test_no_more_frames_are_under_way_than_allowed(fake: FakeServer) -> None:
    most = 0

    def script(_: recognition_pb2.CameraFrame) -> Step:
        nonlocal most
        most = max(most, len(stream._flight))
        return Say(after_s=0.005)

    fake.recognition.script = script
    stream = RecognitionStream(fake.target, camera(60), StreamOptions(max_in_flight=3, patience=QUICK))
    await collected(stream)
    assert most == 3


async def test_drops_and_errors_of_the_server_are_told_apart(fake: FakeServer) -> None:
    steps = {
        1: Say(),
        2: Drop(recognition_pb2.DROP_REASON_TOO_OLD),
        3: Fail("IMAGE_DAMAGED", "the picture is damaged"),
        4: Drop(recognition_pb2.DROP_REASON_UNSPECIFIED),
    }
    fake.recognition.script = lambda message: steps[message.sequence]
    stream = RecognitionStream(fake.target, file_of(4), EVERY)
    answers = await collected(stream)
    assert isinstance(answers[0].outcome, Recognised)
    assert [answer.outcome for answer in answers[1:]] == [
        Dropped(Side.SERVER, DropReason.TOO_OLD),
        Failed(Side.SERVER, "IMAGE_DAMAGED", "the picture is damaged"),
        Dropped(Side.SERVER, DropReason.UNSPECIFIED),
    ]
    tally = stream.tally
    assert (tally.recognised, tally.dropped_by_server, tally.failed, tally.read) == (1, 2, 1, 4)


async def test_the_config_says_what_the_options_say(fake: FakeServer) -> None:
    options = StreamOptions(
        camera="door-1", gallery="tenants/default/galleries/x", target_far=0.01, max_frame_age_s=0.25,
        delivery=Delivery.EVERY, patience=QUICK,
    )  # fmt: skip
    stream = RecognitionStream(fake.target, file_of(1), options)
    await collected(stream)
    (config,) = fake.recognition.configs
    assert (config.camera, config.gallery, config.target_far) == ("door-1", "tenants/default/galleries/x", 0.01)
    assert config.max_frame_age.ToMilliseconds() == 250
    assert stream.ready is not None
    assert stream.ready.session == "fake-1"


@pytest.mark.parametrize(("delivery", "seconds"), [(Delivery.EVERY, 60), (Delivery.NEWEST, 0)])
async def test_the_frames_of_a_file_may_wait_as_long_as_a_server_allows(
    fake: FakeServer, delivery: Delivery, seconds: float
) -> None:
    stream = RecognitionStream(fake.target, file_of(1), StreamOptions(delivery=delivery, patience=QUICK))
    await collected(stream)
    (config,) = fake.recognition.configs
    assert config.max_frame_age.ToSeconds() == seconds


async def test_boxes_are_given_in_pixels_of_the_source_whatever_size_was_sent(fake: FakeServer) -> None:
    fake.recognition.size = (80, 60)
    fake.recognition.script = lambda _: Say((matching("Ada", left=10, top=6, side=20),))
    options = StreamOptions(delivery=Delivery.EVERY, encoding=JpegEncoding(max_width=80), patience=QUICK)
    (answer,) = await collected(RecognitionStream(fake.target, file_of(1), options))
    box = answer.outcome.faces[0].box
    assert (box.left, box.top, box.width, box.height) == (20, 12, 40, 40)
    assert answer.outcome.image.shape == (120, 160, 3)


# ---- advice


def advised(**fields: float) -> recognition_pb2.FlowAdvice:
    return recognition_pb2.FlowAdvice(**{"credits": 2, **fields})


async def test_no_more_frames_are_under_way_than_the_server_gives_credits(fake: FakeServer) -> None:
    most: list[int] = []

    def script(message: recognition_pb2.CameraFrame) -> Step:
        most.append(len(stream._flight))
        if message.sequence < 60:
            return Say(after_s=0.004)
        return Advise(advised(credits=1)) if message.sequence < 100 else Advise(advised(credits=4))

    fake.recognition.advice = advised(credits=6)
    fake.recognition.script = script
    stream = RecognitionStream(fake.target, camera(160, every_s=0.002), StreamOptions(patience=QUICK))
    answers = await collected(stream)
    assert_books_balance(stream, answers)
    seen = [message.sequence for message in fake.recognition.frames]
    assert max(most) == 6
    lowered = [count for count, sequence in zip(most, seen, strict=True) if 75 <= sequence < 100]
    assert lowered
    assert max(lowered) == 1
    assert stream.advice is not None
    assert stream.advice.credits == 4


async def test_frames_beyond_the_advised_rate_are_dropped_here_and_the_newest_is_sent(fake: FakeServer) -> None:
    fake.recognition.advice = advised(frames_per_second=20)
    stream = RecognitionStream(fake.target, camera(100, every_s=0.005), NEWEST)
    answers = await collected(stream)
    assert_books_balance(stream, answers)
    took_s = (answers[-1].stamp.captured_at_ns - answers[0].stamp.captured_at_ns) / 1e9
    assert 2 <= len(fake.recognition.frames) <= 20 * took_s + 3
    assert stream.tally.dropped_by_server == 0
    assert sequences(answers, Recognised)[-1] == 100


async def test_frames_are_shrunk_to_the_advised_size_and_boxes_come_back_in_pixels_of_the_source(
    fake: FakeServer,
) -> None:
    fake.recognition.advice = advised(longest_side=80)
    fake.recognition.size = (80, 60)
    fake.recognition.script = lambda _: Say((matching("Ada", left=10, top=6, side=20),))
    answers = await collected(RecognitionStream(fake.target, file_of(3), EVERY))
    assert [picture_size(sent) for sent in fake.recognition.frames] == [(80, 60)] * 3
    box = answers[-1].outcome.faces[0].box
    assert (box.left, box.top, box.width, box.height) == (20, 12, 40, 40)
    assert answers[-1].outcome.image.shape == (120, 160, 3)


def picture_size(sent: recognition_pb2.CameraFrame) -> tuple[int, int]:
    height, width = cv2.imdecode(np.frombuffer(sent.image.data, np.uint8), cv2.IMREAD_COLOR).shape[:2]
    return width, height


@pytest.mark.parametrize(("pinned", "quality"), [(None, 30), (95, 95)])
async def test_the_advised_quality_counts_unless_one_was_asked_for(
    fake: FakeServer, pinned: int | None, quality: int
) -> None:
    fake.recognition.advice = advised(jpeg_quality=30)
    options = StreamOptions(delivery=Delivery.EVERY, encoding=JpegEncoding(quality=pinned), patience=QUICK)
    await collected(RecognitionStream(fake.target, file_of(2), options))
    expected = encode_jpeg(frame(2).image, JpegEncoding(quality=quality))
    assert fake.recognition.frames[1].image.data == expected


async def test_advice_that_comes_later_counts_for_the_frames_after_it(fake: FakeServer) -> None:
    fake.recognition.script = once(2, Advise(advised(longest_side=40)))
    await collected(RecognitionStream(fake.target, file_of(4), EVERY))
    assert [picture_size(sent) for sent in fake.recognition.frames] == [(160, 120)] * 2 + [(40, 30)] * 2


async def test_advice_that_is_ignored_changes_nothing(fake: FakeServer) -> None:
    fake.recognition.advice = advised(frames_per_second=0.01, longest_side=40, jpeg_quality=1)
    options = StreamOptions(delivery=Delivery.EVERY, obey_advice=False, patience=QUICK)
    stream = RecognitionStream(fake.target, file_of(4), options)
    await collected(stream)
    assert [picture_size(sent) for sent in fake.recognition.frames] == [(160, 120)] * 4
    assert stream.advice is not None


async def test_advice_does_not_outlive_its_connection(fake: FakeServer) -> None:
    fake.recognition.advice = advised(longest_side=40)

    def script(message: recognition_pb2.CameraFrame) -> Step:
        fake.recognition.advice = None
        return Abort() if message.sequence == 6 and len(fake.recognition.configs) == 1 else Say()

    fake.recognition.script = script
    await collected(RecognitionStream(fake.target, file_of(9), EVERY))
    sent = fake.recognition.frames
    again = next(i for i in range(1, len(sent)) if sent[i].sequence <= sent[i - 1].sequence)
    assert picture_size(sent[again - 1]) == (40, 30)  # the first ones may be on their way before the advice comes
    assert {picture_size(one) for one in sent[again:]} == {(160, 120)}


async def test_a_stream_ends_in_order_while_it_waits_for_its_turn(fake: FakeServer) -> None:
    fake.recognition.advice = advised(frames_per_second=0.01)
    stream = RecognitionStream(fake.target, camera(1000), NEWEST)
    answers = []
    async with asyncio.timeout(10), stream:
        async for answer in stream:
            answers.append(answer)
            if len(answers) == 20:
                stream.stop()
    assert_books_balance(stream, answers)
    assert stream.tally.lost == 0


# ---- lost connections


async def restart_after(stream: RecognitionStream, server: FakeServer, count: int) -> list[FrameAnswer]:
    answers = []
    async with stream:
        async for answer in stream:
            answers.append(answer)
            if len(answers) == count:
                await server.stop()
                await server.start()
    return answers


async def test_a_server_that_dies_and_comes_back_answers_every_frame_of_a_file(fake: FakeServer) -> None:
    stream = RecognitionStream(fake.target, file_of(15), EVERY)
    answers = await restart_after(stream, fake, 5)
    assert sequences(answers, Recognised) == list(range(1, 16))
    assert stream.connections == 2
    assert_books_balance(stream, answers)


async def test_a_camera_goes_on_after_its_server_died_and_what_was_missed_is_accounted_for(fake: FakeServer) -> None:
    fake.recognition.script = lambda _: Say(after_s=0.005)
    stream = RecognitionStream(fake.target, camera(150), NEWEST)
    answers = await restart_after(stream, fake, 40)
    assert_books_balance(stream, answers)
    assert stream.connections >= 2
    assert sequences(answers, Recognised)[-1] == 150
    assert stream.tally.lost > 0


LOSSES = [
    Abort(),
    Abort(grpc.StatusCode.INTERNAL),
    Abort(grpc.StatusCode.RESOURCE_EXHAUSTED),
    Close(),
    Ignore(),
    Hang(),
]


@pytest.mark.parametrize("step", LOSSES)
async def test_a_frame_that_was_lost_with_its_connection_is_sent_again(fake: FakeServer, step: Step) -> None:
    fake.recognition.script = once(3, step)
    patience = Patience(first_wait_s=0.01, longest_wait_s=0.05, answer_s=0.2)
    stream = RecognitionStream(fake.target, file_of(6), StreamOptions(delivery=Delivery.EVERY, patience=patience))
    answers = await collected(stream)
    assert sequences(answers, Recognised) == [1, 2, 3, 4, 5, 6]
    assert [sent.sequence for sent in fake.recognition.frames] == [1, 2, 3, 3, 4, 5, 6]
    assert stream.connections == 2


@pytest.mark.parametrize("drop", [False, True])
async def test_a_draining_server_is_left_without_losing_a_frame(fake: FakeServer, drop: bool) -> None:
    fake.recognition.script = once(3, DrainStream(drop=drop))
    stream = RecognitionStream(fake.target, file_of(6), EVERY)
    answers = await collected(stream)
    assert sequences(answers, Recognised) == [1, 2, 3, 4, 5, 6]
    assert stream.connections == 2


async def test_a_camera_reconnects_after_a_drain(fake: FakeServer) -> None:
    fake.recognition.script = once(3, DrainStream())
    stream = RecognitionStream(fake.target, camera(60), NEWEST)
    answers = await collected(stream)
    assert_books_balance(stream, answers)
    assert stream.connections == 2
    assert sequences(answers, Recognised)[-1] == 60


async def test_frames_under_way_are_lost_when_a_camera_loses_its_connection(fake: FakeServer) -> None:
    fake.recognition.script = once(5, Abort(message="power failure"))
    stream = RecognitionStream(fake.target, camera(60), NEWEST)
    answers = await collected(stream)
    assert_books_balance(stream, answers)
    lost = [answer for answer in answers if isinstance(answer.outcome, Lost)]
    assert 5 in sequences(lost)
    assert all("power failure" in answer.outcome.message for answer in lost)


async def test_a_frame_that_breaks_every_connection_is_given_up_and_the_others_are_not(fake: FakeServer) -> None:
    fake.recognition.script = lambda message: Abort() if message.sequence == 3 else Say()
    stream = RecognitionStream(fake.target, file_of(6), EVERY)
    answers = await collected(stream)
    assert sequences(answers, Lost) == [3]
    assert sequences(answers, Recognised) == [1, 2, 4, 5, 6]


async def test_a_stream_that_idled_too_long_is_opened_again(fake: FakeServer) -> None:
    from google.protobuf.any_pb2 import Any as PackedDetail
    from google.rpc import error_details_pb2, status_pb2

    detail = PackedDetail()
    detail.Pack(error_details_pb2.ErrorInfo(reason="STREAM_IDLE"))
    status = status_pb2.Status(code=3, message="idle", details=[detail])
    trailing = (("grpc-status-details-bin", status.SerializeToString()),)
    fake.recognition.script = once(2, Abort(grpc.StatusCode.INVALID_ARGUMENT, "idle", trailing))
    answers = await collected(RecognitionStream(fake.target, file_of(4), EVERY))
    assert sequences(answers, Recognised) == [1, 2, 3, 4]


# ---- ends


async def test_a_server_that_refuses_the_stream_is_not_asked_again(fake: FakeServer) -> None:
    fake.recognition.script = lambda _: Abort(grpc.StatusCode.INVALID_ARGUMENT, "no such camera")
    stream = RecognitionStream(fake.target, file_of(5), EVERY)
    answers: list[FrameAnswer] = []
    with pytest.raises(InvalidRequestError, match="no such camera"):
        await collect_into(answers, stream)
    assert_books_balance(stream, answers)
    assert stream.connections == 1


@pytest.mark.parametrize(
    "patience", [Patience(max_reconnects=0), Patience(give_up_s=0), Patience(first_wait_s=0.01, max_reconnects=3)]
)
async def test_a_server_that_is_not_there_is_given_up(fake: FakeServer, patience: Patience) -> None:
    await fake.stop()
    stream = RecognitionStream(fake.target, file_of(5), StreamOptions(patience=patience))
    async with stream:
        with pytest.raises(UnavailableError, match=f"no answer from {fake.target}"):
            await anext(stream)
    assert stream.tally.read == 0


async def test_a_server_that_starts_late_is_waited_for(fake: FakeServer) -> None:
    await fake.stop()
    stream = RecognitionStream(fake.target, file_of(3), EVERY)
    async with stream:
        await asyncio.sleep(0.1)
        await fake.start()
        answers = [answer async for answer in stream]
    assert sequences(answers, Recognised) == [1, 2, 3]


async def test_stopping_awaits_the_answers_under_way_and_ends(fake: FakeServer) -> None:
    fake.recognition.script = lambda _: Say(after_s=0.02)
    closed = []
    source = camera(10_000)
    source.close = lambda: closed.append(True)
    stream = RecognitionStream(fake.target, source, NEWEST)
    answers = []
    async with stream:
        async for answer in stream:
            answers.append(answer)
            if len(answers) == 20:
                stream.stop()
                stream.stop()
    assert_books_balance(stream, answers)
    assert stream.tally.lost == 0
    assert stream.tally.read < 10_000
    assert closed


async def test_stopping_does_not_wait_forever_for_a_server_that_hangs(fake: FakeServer) -> None:
    hanging = asyncio.Event()

    def script(message: recognition_pb2.CameraFrame) -> Step:
        if message.sequence == 1:
            return Say()
        hanging.set()
        return Hang()

    fake.recognition.script = script
    patience = Patience(stop_s=0.2)
    stream = RecognitionStream(fake.target, file_of(5), StreamOptions(delivery=Delivery.EVERY, patience=patience))
    answers = []
    async with stream:
        async for answer in stream:
            answers.append(answer)
            await hanging.wait()
            stream.stop()
    assert_books_balance(stream, answers)
    assert sequences(answers, Lost) == [2]


async def test_stopping_while_the_server_is_away_ends_at_once(fake: FakeServer) -> None:
    await fake.stop()
    stream = RecognitionStream(fake.target, file_of(5), StreamOptions(patience=Patience(first_wait_s=20)))
    async with stream:
        await asyncio.sleep(0.05)
        stream.stop()
        assert [answer async for answer in stream] == []


@pytest.mark.parametrize("delivery", Delivery)
async def test_leaving_early_ends_all_tasks_and_closes_the_source(fake: FakeServer, delivery: Delivery) -> None:
    fake.recognition.script = lambda _: Say(after_s=0.01)
    closed = []
    source = camera(10_000)
    source.close = lambda: closed.append(True)
    before = asyncio.all_tasks()
    async with RecognitionStream(fake.target, source, StreamOptions(delivery=delivery, patience=QUICK)) as stream:
        await anext(stream)
        await anext(stream)
    await asyncio.sleep(0.05)
    ours = [task for task in asyncio.all_tasks() - before if "facestream" in task.get_name()]
    assert ours == []
    assert closed


async def test_a_source_that_breaks_off_is_an_error_after_all_answers(fake: FakeServer) -> None:
    def frames() -> Iterator[Frame]:
        yield from (frame(number) for number in (1, 2, 3))
        raise SourceError("the film tore")

    stream = RecognitionStream(fake.target, Frames(frames()), EVERY)
    answers: list[FrameAnswer] = []
    with pytest.raises(SourceError, match="the film tore"):
        await collect_into(answers, stream)
    assert sequences(answers, Recognised) == [1, 2, 3]


async def test_a_fault_in_the_programs_own_source_is_not_swallowed(fake: FakeServer) -> None:
    def frames() -> Iterator[Frame]:
        yield frame(1)
        raise ZeroDivisionError

    async with RecognitionStream(fake.target, Frames(frames()), EVERY) as stream:
        await anext(stream)
        with pytest.raises(ZeroDivisionError):
            await anext(stream)


# ---- frames that are not sent


async def test_a_frame_that_cannot_be_encoded_is_an_error_answer_and_the_stream_goes_on(fake: FakeServer) -> None:
    wide = Frame(Stamp(2, 0, 0), np.zeros((1, 65_501, 3), np.uint8))
    stream = RecognitionStream(fake.target, Frames([frame(1), wide, frame(3)]), EVERY)
    answers = await collected(stream)
    assert sequences(answers, Recognised) == [1, 3]
    failed = answers[1].outcome
    assert isinstance(failed, Failed)
    assert (failed.by, failed.reason) == (Side.CLIENT, "FRAME_NOT_SENDABLE")


async def test_a_frame_that_is_too_old_when_its_turn_comes_is_not_sent(fake: FakeServer) -> None:
    fake.recognition.max_frame_age_s = 0.5
    old = [frame(number, captured_at_ns=time.time_ns() - 10**9) for number in (1, 2)]
    stream = RecognitionStream(fake.target, Frames(old, live=True), NEWEST)
    answers = await collected(stream)
    assert fake.recognition.frames == []
    assert Dropped(Side.CLIENT, DropReason.TOO_OLD) in [answer.outcome for answer in answers]
    assert_books_balance(stream, answers)


async def test_a_program_that_reads_slowly_slows_the_source_and_loses_nothing(fake: FakeServer) -> None:
    stream = RecognitionStream(fake.target, camera(1_000_000, every_s=0), NEWEST)
    async with stream:
        await anext(stream)
        await asyncio.sleep(0.3)
        read = stream.tally.read
        await asyncio.sleep(0.2)
        assert stream.tally.read - read <= 2
        assert len(stream._answers._answers) <= 64 + 4


# ---- anything at all


def chaos(seed: int) -> Callable[[recognition_pb2.CameraFrame], Step]:
    rng = random.Random(seed)
    steps = [
        Say(),
        Say(after_s=0.01),
        Drop(),
        Fail(),
        Ignore(),
        Close(),
        Abort(),
        DrainStream(),
        DrainStream(drop=True),
    ]
    weights = [12, 6, 2, 2, 1, 1, 1, 1, 1]
    return lambda _: rng.choices(steps, weights)[0]


@pytest.mark.parametrize("delivery", Delivery)
@pytest.mark.parametrize("seed", range(8))
async def test_whatever_the_server_does_every_frame_is_answered_once(
    fake: FakeServer, seed: int, delivery: Delivery
) -> None:
    fake.recognition.script = chaos(seed)
    patience = Patience(first_wait_s=0.005, longest_wait_s=0.02, answer_s=0.15, stop_s=0.5)
    source = file_of(30) if delivery is Delivery.EVERY else camera(60)
    stream = RecognitionStream(fake.target, source, StreamOptions(delivery=delivery, patience=patience))
    answers = await collected(stream)
    assert_books_balance(stream, answers)
    if delivery is Delivery.EVERY:
        assert stream.tally.read == 30
        assert stream.tally.dropped_by_client == 0
    else:
        recognised = sequences(answers, Recognised)
        assert recognised == sorted(recognised)


def test_the_answer_names_the_person() -> None:
    from clients.wire.faces import read_face

    answer = read_face(matching("Ada", distance=0.4)).answer
    assert isinstance(answer, Match)
    assert (answer.display_name, answer.distance) == ("Ada", pytest.approx(0.4))


# ---- packets

GROUP = 10


class Packets:
    """A source of packets, a key frame every ten. With `every_s` it is a camera, otherwise a file."""

    description, fps = "packets", 0.0

    def __init__(self, count: int, *, every_s: float = 0.0, held_back: int = 0, group: int = GROUP) -> None:
        self.expected, self.held_back, self.live = count, held_back, every_s > 0
        self._every_s, self._group = every_s, group

    def __iter__(self) -> Iterator[PacketFrame]:
        for number in range(1, self.expected + 1):
            time.sleep(self._every_s)
            key = number % self._group == 1
            data = b"\0\0\1\x65" if key else b"\0\0\1\x41"
            yield PacketFrame(Stamp(number, time.time_ns(), number), PacketCodec.H264, data, key, 0)

    def interrupt(self) -> None:
        pass

    def close(self) -> None:
        pass


def assert_whole_groups(sent: list[int]) -> None:
    """Whatever was left out, each packet that was sent came after the one before it, or is a key frame."""
    for before, number in zip([0, *sent], sent, strict=False):
        assert number == before + 1 or number % GROUP == 1, (before, number)
    assert sent[0] % GROUP == 1


async def test_packets_are_sent_as_they_are_and_recognised_without_a_picture(fake: FakeServer) -> None:
    fake.recognition.size = (640, 360)
    fake.recognition.script = lambda _: Say((matching("Ada", left=100),))
    stream = RecognitionStream(fake.target, Packets(25), EVERY)
    answers = await collected(stream)
    assert sequences(answers, Recognised) == list(range(1, 26))
    assert {message.image.codec for message in fake.recognition.frames} == {image_pb2.IMAGE_CODEC_H264}
    assert fake.recognition.frames[0].image.data == b"\0\0\1\x65"
    assert answers[0].outcome.image is None
    assert answers[0].outcome.faces[0].box.left == 100
    assert_books_balance(stream, answers)


@pytest.mark.parametrize("delivery", Delivery)
async def test_a_stream_whose_decoder_holds_pictures_back_comes_to_its_end(
    fake: FakeServer, delivery: Delivery
) -> None:
    fake.recognition.held_back = 3
    source = Packets(30, every_s=0.002, held_back=3) if delivery is Delivery.NEWEST else Packets(30, held_back=3)
    stream = RecognitionStream(fake.target, source, StreamOptions(delivery=delivery, patience=QUICK))
    async with asyncio.timeout(20):
        answers = await collected(stream)
    assert sequences(answers, Recognised) == list(range(1, 31))
    assert stream.connections == 1


async def test_a_camera_that_falls_behind_leaves_out_whole_groups(fake: FakeServer) -> None:
    fake.recognition.script = lambda _: Say(after_s=0.02)
    stream = RecognitionStream(fake.target, Packets(300, every_s=0.003), NEWEST)
    answers = await collected(stream)
    sent = [message.sequence for message in fake.recognition.frames]
    assert_whole_groups(sent)
    assert 10 < len(sent) < 300
    assert stream.tally.dropped_by_client == 300 - len(sent)
    assert_books_balance(stream, answers)


async def test_packets_that_waited_too_long_are_left_out_with_the_rest_of_their_group(fake: FakeServer) -> None:
    fake.recognition.max_frame_age_s = 0.05
    fake.recognition.script = once(5, Say(after_s=0.2))
    stream = RecognitionStream(fake.target, Packets(230, every_s=0.004, group=200), NEWEST)
    answers = await collected(stream)
    sent = [message.sequence for message in fake.recognition.frames]
    assert [number for before, number in itertools.pairwise(sent) if number != before + 1] == [201]
    assert DropReason.TOO_OLD in {a.outcome.reason for a in answers if isinstance(a.outcome, Dropped)}
    assert_books_balance(stream, answers)


async def test_when_the_server_needs_a_key_frame_the_next_packet_that_is_sent_is_one(fake: FakeServer) -> None:
    fake.recognition.script = once(4, Fail("KEY_FRAME_NEEDED", "a packet before was damaged"))
    stream = RecognitionStream(fake.target, Packets(30), EVERY)
    answers = await collected(stream)
    assert [message.sequence for message in fake.recognition.frames] == [1, 2, 3, 4, *range(11, 31)]
    assert sequences(answers, Failed) == [4]
    assert sequences(answers, Dropped) == [5, 6, 7, 8, 9, 10]
    assert_books_balance(stream, answers)


async def test_a_camera_that_was_opened_again_may_hold_back_more_pictures_than_before(fake: FakeServer) -> None:
    class Reopened(Packets):
        def __iter__(self) -> Iterator[PacketFrame]:
            for packet in super().__iter__():
                if packet.stamp.sequence == 11:
                    self.held_back = 3
                yield packet

    def hold_back(frame: recognition_pb2.CameraFrame) -> Say:
        fake.recognition.held_back = 0 if frame.sequence < 11 else 3
        return Say(())

    fake.recognition.script = hold_back
    stream = RecognitionStream(fake.target, Reopened(30), EVERY)
    async with asyncio.timeout(20):
        answers = await collected(stream)
    assert sequences(answers, Recognised) == list(range(1, 31))
    assert stream.connections == 1


async def test_a_key_frame_that_is_on_its_way_is_not_waited_for_again(fake: FakeServer) -> None:
    # With what the decoder holds back, key frame 11 is sent before the answer to frame 9 comes.
    fake.recognition.held_back = 3
    fake.recognition.script = once(9, Fail("KEY_FRAME_NEEDED", "a packet before was damaged"))
    await collected(RecognitionStream(fake.target, Packets(40, held_back=3), EVERY))
    assert [message.sequence for message in fake.recognition.frames] == list(range(1, 41))


async def test_after_a_lost_connection_the_stream_goes_on_with_a_key_frame(fake: FakeServer) -> None:
    fake.recognition.script = once(14, Abort())
    stream = RecognitionStream(fake.target, Packets(40), EVERY)
    answers = await collected(stream)
    assert [message.sequence for message in fake.recognition.frames] == [*range(1, 15), *range(21, 41)]
    assert sequences(answers, Lost) == [14]
    assert stream.connections == 2
    assert_books_balance(stream, answers)


async def test_packets_keep_to_credits_and_what_their_decoder_holds_and_to_no_rate(fake: FakeServer) -> None:
    most = 0

    def script(_: recognition_pb2.CameraFrame) -> Step:
        nonlocal most
        most = max(most, len(stream._flight))
        return Say(after_s=0.01)

    fake.recognition.advice = advised(credits=3, frames_per_second=0.01)
    fake.recognition.script = script
    stream = RecognitionStream(fake.target, Packets(60, every_s=0.001, held_back=2, group=1000), NEWEST)
    answers = await collected(stream)
    assert most == 3 + 2 + 4
    assert sequences(answers, Recognised) == list(range(1, 61))
