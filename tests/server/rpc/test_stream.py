"""One camera's stream: every frame answered once, the newest first, and nothing a camera sends ends it by accident."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import pytest
from facestream.v1 import image_pb2, recognition_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2, error_details_pb2

from server.domain import Codec, Faces
from server.errors import ImageError, InvalidInputError, UnavailableError
from server.pipeline.allowance import CameraAllowance, LookAllowance
from server.pipeline.flow import Flow, FlowRule
from server.pipeline.packets import PacketPictures
from server.pipeline.recognise import Recognition
from server.pipeline.session import Ticket
from server.rpc.outbox import Outbox
from server.rpc.permits import Permits
from server.rpc.stream import CameraStream, StreamClock, StreamLimits, StreamShare
from server.telemetry.metrics import Metrics
from tests.server.pipeline.fake_decoder import DELTA, KEY, FakeDecoder

NOBODY = Recognition(64, 48, Faces.none(), (), 7, {"decode": 1, "detect": 2, "align": 3, "embed": 4, "match": 5}, {})
LIMITS = StreamLimits(target_far=0.001, frames_at_once=1, max_frame_age_ns=10**9, idle_timeout_s=5, drain_ns=10**9)


def config(**fields):
    return recognition_pb2.StreamRecognizeRequest(config=recognition_pb2.StreamConfig(**{"camera": "door", **fields}))


def frame(sequence, data=b"jpeg"):
    image = image_pb2.Image(codec=image_pb2.IMAGE_CODEC_JPEG, data=data)
    return recognition_pb2.StreamRecognizeRequest(frame=recognition_pb2.CameraFrame(sequence=sequence, image=image))


class ToldAllowance(CameraAllowance):
    """Keeps what it is told."""

    def __init__(self, shared):
        super().__init__(shared)
        self.drops, self.waited_ns, self.work_s = 0, [], []

    def frame(self, *, waited_ns, work_s, at_ns):
        super().frame(waited_ns=waited_ns, work_s=work_s, at_ns=at_ns)
        self.waited_ns.append(waited_ns)
        self.work_s.append(work_s)

    def drop(self):
        super().drop()
        self.drops += 1


class ToldAllowances(LookAllowance):
    """Of one camera, which keeps what it is told."""

    def camera(self):
        self.told = ToldAllowance(self)
        return self.told


class ScriptedSession:
    """A session whose frames are looked at by a function of the test."""

    def __init__(self, recognise):
        self.recognise, self.tickets, self.closed = recognise, [], False

    def ticket(self, captured_ns, arrived_ns, now_ns):
        self.tickets.append(captured_ns)
        return Ticket(len(self.tickets) - 1, arrived_ns, captured_ns)

    async def look(self, ticket, image):
        return await self.recognise(image)

    def close(self):
        self.closed = True


class Camera:
    """A scripted camera: sends what it is told and keeps what is answered."""

    def __init__(
        self,
        recognise=None,
        *,
        limits=LIMITS,
        write=None,
        clock=time.monotonic_ns,
        permits=8,
        flow=None,
        decoder=None,
    ):
        self.sent, self.draining = asyncio.Queue(), asyncio.Event()
        self.allowances = ToldAllowances()
        self.answers, self.advice = [], []
        self.metrics = Metrics.registered()
        self.session = ScriptedSession(recognise or self.see_nobody)
        self.stream = CameraStream(
            outbox=Outbox(write or self.keep, self.metrics.frames),
            clock=StreamClock(clock, lambda: 123_000_000_456),
            share=StreamShare(
                limits=limits,
                open_session=self.open,
                open_packets=lambda: PacketPictures(lambda codec: decoder, max_bytes=1000, clock=time.monotonic_ns),
                permits=Permits(permits, time.monotonic_ns) if isinstance(permits, int) else permits,
                flow=flow or Flow(FlowRule(threads=2, admitted=3, credits=3)),
                allowance=self.allowances,
                draining=self.draining,
            ),
        )

    def open(self, name, allowance):
        self.name = name
        assert allowance is self.allowances.told
        return self.session

    async def see_nobody(self, image):
        return NOBODY

    async def keep(self, answer):
        (self.answers if answer.WhichOneof("message") != "advice" else self.advice).append(answer)

    async def requests(self):
        while (message := await self.sent.get()) is not None:
            yield message

    async def send(self, *messages):
        for message in messages:
            await self.sent.put(message)

    async def run(self, *messages):
        """Sends everything, ends the stream, and gives the answers."""
        await self.send(*messages, None)
        await self.stream.run(self.requests())
        return self.answers

    def kinds(self):
        return [(answer.sequence, answer.WhichOneof("message")) for answer in self.answers]


async def until(condition):
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it never came")


async def test_the_stream_opens_with_what_is_in_force():
    (ready,) = await Camera().run(config(target_far=0.01, max_frame_age=Duration(seconds=2)))
    assert ready.ready.gallery == "tenants/default/galleries/default"
    assert ready.ready.target_far == 0.01
    assert ready.ready.max_frame_age.seconds == 2


async def test_a_frame_comes_back_with_its_number_its_time_and_the_stages():
    _, answer = await Camera().run(config(), frame(9))
    assert answer.sequence == 9
    assert (answer.captured_at.seconds, answer.captured_at.nanos) == (123, 456)
    assert answer.result.gallery_revision == 7
    assert answer.result.timing.embed.nanos == 4
    assert answer.result.timing.total.nanos > 0


async def test_while_one_frame_is_worked_on_only_the_newest_waits():
    gate = asyncio.Event()

    async def recognise(image):
        await gate.wait()
        return NOBODY

    camera = Camera(recognise)
    running = asyncio.create_task(camera.stream.run(camera.requests()))
    await camera.send(config(), frame(1))
    await until(lambda: camera.stream._last_sequence == 1)
    await asyncio.sleep(0.01)
    await camera.send(frame(2), frame(3), frame(4))
    await until(lambda: len(camera.answers) == 3)
    gate.set()
    await camera.send(None)
    await running
    assert camera.kinds()[1:] == [(2, "dropped"), (3, "dropped"), (1, "result"), (4, "result")]
    assert {a.dropped.reason for a in camera.answers if a.WhichOneof("message") == "dropped"} == {
        recognition_pb2.DROP_REASON_SUPERSEDED
    }
    assert camera.allowances.told.drops == 2


async def test_two_frames_are_worked_on_at_once_and_answered_in_their_order():
    running, gates = [], {b"first": asyncio.Event(), b"second": asyncio.Event()}

    async def recognise(image):
        running.append(image.data)
        await gates[image.data].wait()
        return NOBODY

    camera = Camera(recognise, limits=replace(LIMITS, frames_at_once=2))
    stream = asyncio.create_task(camera.stream.run(camera.requests()))
    await camera.send(config(), frame(1, b"first"))
    await until(lambda: running == [b"first"])
    await camera.send(frame(2, b"second"))
    await until(lambda: running == [b"first", b"second"])
    gates[b"second"].set()
    await asyncio.sleep(0.02)
    assert camera.kinds() == [(0, "ready")]
    gates[b"first"].set()
    await camera.send(None)
    await stream
    assert camera.kinds()[1:] == [(1, "result"), (2, "result")]


@pytest.mark.parametrize("at_once", [1, 2, 3])
async def test_every_frame_is_answered_exactly_once_whatever_the_pace(at_once):
    rng = random.Random(4)

    async def recognise(image):
        await asyncio.sleep(rng.choice([0, 0, 0.001, 0.004]))
        if rng.random() < 0.2:
            raise ImageError("IMAGE_DAMAGED", "broken")
        return NOBODY

    camera = Camera(recognise, limits=replace(LIMITS, frames_at_once=at_once))
    running = asyncio.create_task(camera.stream.run(camera.requests()))
    await camera.send(config())
    for number in range(1, 301):
        await camera.send(frame(number))
        if rng.random() < 0.4:
            await asyncio.sleep(rng.choice([0, 0.001, 0.003]))
    await camera.send(None)
    await running
    answered = Counter(sequence for sequence, kind in camera.kinds() if kind != "ready")
    assert answered == Counter(range(1, 301))
    assert {kind for _, kind in camera.kinds()} == {"ready", "result", "dropped", "error"}
    results = [sequence for sequence, kind in camera.kinds() if kind == "result"]
    assert results == sorted(results)


async def test_a_frame_that_waited_too_long_is_dropped():
    times = itertools.count(0, 2 * 10**9)
    camera = Camera(clock=lambda: next(times))
    await camera.run(config(), frame(1))
    assert camera.answers[1].dropped.reason == recognition_pb2.DROP_REASON_TOO_OLD
    assert camera.allowances.told.drops == 1


async def test_looks_are_allowed_by_how_long_a_frame_waits_for_its_turn_and_frames_are_worked_on():
    permits = Permits(1, time.monotonic_ns)
    camera = Camera(permits=permits)
    camera.stream.share.flow.cost(0.25)
    async with permits.held("another"):
        running = asyncio.create_task(camera.run(config(), frame(1)))
        await until(lambda: camera.stream._last_sequence == 1)
        await asyncio.sleep(0.05)
    await running
    assert camera.allowances.told.waited_ns[0] >= 0.05e9
    assert camera.allowances.told.work_s == [0.25]
    assert camera.allowances.told.drops == 0


@pytest.mark.parametrize("repeated", [5, 4, 0])
async def test_a_sequence_number_that_doesn_t_rise_is_an_error_and_the_stream_goes_on(repeated):
    camera = Camera()
    await camera.run(config(), frame(5), frame(repeated), frame(6))
    assert sorted(camera.kinds()[1:]) == sorted([(5, "result"), (repeated, "error"), (6, "result")]) or sorted(
        camera.kinds()[1:]
    ) == sorted([(5, "dropped"), (repeated, "error"), (6, "result")])
    error = next(answer.error for answer in camera.answers if answer.WhichOneof("message") == "error")
    assert error.code == code_pb2.INVALID_ARGUMENT


async def test_a_bad_image_is_an_error_of_its_frame():
    async def recognise(image):
        raise ImageError("IMAGE_DAMAGED", "the jpeg is cut off")

    _, answer = await Camera(recognise).run(config(), frame(1))
    assert answer.error.code == code_pb2.INVALID_ARGUMENT
    assert answer.error.message == "the jpeg is cut off"


@pytest.mark.parametrize(
    "impossible",
    [
        Timestamp(seconds=-1),
        Timestamp(seconds=10**12),
        Timestamp(seconds=9_223_372_037),
        Timestamp(nanos=-1),
        Timestamp(seconds=5, nanos=10**9),
    ],
)
async def test_a_time_that_is_none_is_an_error_of_its_frame_and_is_not_given_back(impossible):
    camera = Camera()
    message = frame(1)
    message.frame.captured_at.CopyFrom(impossible)
    await camera.run(config(), message, frame(2))
    assert camera.kinds() == [(0, "ready"), (1, "error"), (2, "result")]
    error, info = camera.answers[1].error, error_details_pb2.ErrorInfo()
    assert error.details[0].Unpack(info)
    assert (error.code, info.reason) == (code_pb2.INVALID_ARGUMENT, "TIME_INVALID")
    assert camera.answers[1].captured_at == Timestamp(seconds=123, nanos=456)


async def test_the_last_time_that_can_be_kept_is_one():
    camera = Camera()
    message = frame(1)
    message.frame.captured_at.CopyFrom(Timestamp(seconds=9_223_372_034, nanos=999_999_999))
    _, answer = await camera.run(config(), message)
    assert answer.captured_at == message.frame.captured_at
    assert camera.session.tickets == [9_223_372_034_999_999_999]


async def test_a_fault_of_the_server_is_an_error_of_its_frame_that_tells_no_details():
    async def recognise(image):
        raise RuntimeError("/secret/path")

    _, answer = await Camera(recognise).run(config(), frame(1))
    assert answer.error.code == code_pb2.INTERNAL
    assert "secret" not in answer.error.message


async def test_an_unknown_codec_is_an_error_of_its_frame():
    message = frame(1)
    message.frame.image.codec = 77
    _, answer = await Camera().run(config(), message)
    assert answer.error.code == code_pb2.INVALID_ARGUMENT
    assert "77" in answer.error.message


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([frame(1)], "CONFIG_MISSING"),
        ([recognition_pb2.StreamRecognizeRequest()], "CONFIG_MISSING"),
        ([], "CONFIG_MISSING"),
        ([config(), config()], "FRAME_MISSING"),
        ([config(), recognition_pb2.StreamRecognizeRequest()], "FRAME_MISSING"),
        ([config(camera="")], "CAMERA_INVALID"),
        ([config(camera="a b")], "CAMERA_INVALID"),
        ([config(gallery="everybody")], "RESOURCE_NAME_INVALID"),
        ([config(target_far=0.5)], "TARGET_FAR_INVALID"),
        ([config(target_far=float("nan"))], "TARGET_FAR_INVALID"),
        ([config(max_frame_age=Duration(seconds=-1))], "MAX_FRAME_AGE_INVALID"),
    ],
)
async def test_a_stream_that_breaks_the_contract_is_ended_with_the_reason(messages, reason):
    with pytest.raises(InvalidInputError) as refused:
        await Camera().run(*messages)
    assert refused.value.reason == reason


async def test_a_second_config_ends_the_stream_only_after_the_frames_before_it_are_answered():
    camera = Camera()
    with pytest.raises(InvalidInputError):
        await camera.run(config(), frame(1), config())
    assert camera.kinds()[1:] == [(1, "result")]


async def test_a_silent_stream_is_ended():
    limits = StreamLimits(target_far=0.001, frames_at_once=1, max_frame_age_ns=10**9, idle_timeout_s=0.05, drain_ns=0)
    camera = Camera(limits=limits)
    await camera.send(config())
    with pytest.raises(InvalidInputError) as refused:
        await camera.stream.run(camera.requests())
    assert refused.value.reason == "STREAM_IDLE"


async def test_a_draining_server_says_so_answers_what_it_holds_and_ends():
    gate = asyncio.Event()

    async def recognise(image):
        await gate.wait()
        return NOBODY

    camera = Camera(recognise)
    running = asyncio.create_task(camera.stream.run(camera.requests()))
    await camera.send(config(), frame(1), frame(2))
    await until(lambda: camera.stream._last_sequence == 2)
    camera.draining.set()
    await until(lambda: "drain" in [kind for _, kind in camera.kinds()])
    gate.set()
    await running
    assert sorted(sequence for sequence, kind in camera.kinds() if kind in {"result", "dropped"}) == [1, 2]


async def test_a_stream_that_has_not_begun_ends_when_the_server_drains():
    camera = Camera()
    running = asyncio.create_task(camera.stream.run(camera.requests()))
    await asyncio.sleep(0)
    camera.draining.set()
    with pytest.raises(UnavailableError, match="stopping"):
        await running


async def test_a_client_that_reads_nothing_stops_its_own_frames_and_memory_stays_bounded():
    never = asyncio.Event()

    async def stuck(answer):
        await never.wait()

    camera = Camera(write=stuck)
    running = asyncio.create_task(camera.stream.run(camera.requests()))
    await camera.send(config(), *(frame(number) for number in range(1, 1001)))
    await asyncio.sleep(0.3)
    assert camera.sent.qsize() > 800
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_outcomes_are_counted():
    camera = Camera()
    await camera.run(config(), frame(1), frame(1))
    counted = {
        outcome: camera.metrics.registry.get_sample_value("facestream_frames_total", {"outcome": outcome})
        for outcome in ("result", "error")
    }
    assert counted == {"result": 1, "error": 1}


# ---- cameras that share a server


class Crowd:
    """Cameras on one server; no clock is asked.

    A frame is in work for so many steps of the event loop: longer than the next one takes to come, so that a camera
    that goes on sending always has one waiting.
    """

    def __init__(self, cameras, *, permits, at_once, steps=25):
        self.looks, self.steps, self.stepped = [], steps, 0
        self.permits = Permits(permits, lambda: self.stepped * 10**6)
        self.most_at_once = self.now = 0
        limits = replace(LIMITS, frames_at_once=at_once, max_frame_age_ns=10**12, brake_s=0)
        flow = Flow(FlowRule(threads=permits, admitted=permits, credits=3))
        self.cameras = [
            Camera(self.look_as(number), limits=limits, permits=self.permits, flow=flow, clock=lambda: 0)
            for number in range(cameras)
        ]

    def look_as(self, number):
        async def look(image):
            self.looks.append(number)
            self.now += 1
            self.most_at_once = max(self.most_at_once, self.now)
            for _ in range(self.steps):
                await asyncio.sleep(0)
                self.stepped += 1
            self.now -= 1
            return NOBODY

        return look

    async def feed(self, number, burst):
        """Sends bursts of frames as fast as the stream takes them in."""
        camera, sequence = self.cameras[number], itertools.count(1)
        await camera.send(config())
        while True:
            if camera.sent.qsize() < burst:
                await camera.send(*(frame(next(sequence)) for _ in range(burst)))
            await asyncio.sleep(0)

    async def steps_until(self, condition):
        for _ in range(1_000_000):
            if condition():
                return
            await asyncio.sleep(0)
        raise AssertionError("it never came")

    async def run(self, bursts, *, until_looks, beside=None):
        tasks = [asyncio.create_task(camera.stream.run(camera.requests())) for camera in self.cameras]
        tasks += [asyncio.create_task(self.feed(number, burst)) for number, burst in bursts.items()]
        beside = asyncio.create_task(beside) if beside else None
        await self.steps_until(lambda: len(self.looks) >= until_looks and (beside is None or beside.done()))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return await beside if beside else None


def jain(counts):
    """Jain's index of fairness: 1 when all have the same, 1 / n when one has everything (Jain et al. 1984)."""
    return sum(counts) ** 2 / (len(counts) * sum(count**2 for count in counts))


@pytest.mark.parametrize("permits", [1, 2, 3])
@pytest.mark.parametrize("at_once", [1, 2])
async def test_cameras_that_always_have_a_frame_get_equally_much_work_however_many_they_send(permits, at_once):
    crowd = Crowd(5, permits=permits, at_once=at_once)
    await crowd.run({0: 1, 1: 1, 2: 3, 3: 5, 4: 10}, until_looks=300)
    counts = Counter(crowd.looks)
    assert jain([counts[number] for number in range(5)]) > 0.98
    assert crowd.most_at_once <= permits


@pytest.mark.parametrize("at_once", [1, 2])
async def test_a_camera_that_floods_gains_nothing_by_it(at_once):
    crowd = Crowd(4, permits=2, at_once=at_once)
    await crowd.run({0: 1, 1: 1, 2: 1, 3: 100}, until_looks=240)
    counts = Counter(crowd.looks)
    assert jain([counts[number] for number in range(3)]) > 0.98
    assert counts[3] <= counts[0] * 1.05


async def test_a_camera_that_sends_less_than_its_share_is_next_whatever_the_others_send():
    crowd = Crowd(6, permits=2, at_once=2)
    quiet = crowd.cameras[5]

    async def now_and_then():
        waits = []
        await quiet.send(config())
        for sequence in range(1, 13):
            for _ in range(150):
                await asyncio.sleep(0)
            before, mine = len(crowd.looks), crowd.looks.count(5)
            await quiet.send(frame(sequence))
            await crowd.steps_until(lambda mine=mine: crowd.looks.count(5) > mine)
            waits.append(len(crowd.looks) - before)
        await quiet.send(None)
        return waits

    waits = await crowd.run(dict.fromkeys(range(5), 10), until_looks=100, beside=now_and_then())
    assert max(waits) <= 2  # one that was let in at that very moment, and itself


async def permits_are_free(permits):
    """Waits until one can be had."""
    async with asyncio.timeout(5), permits.held("somebody"):
        pass


@pytest.mark.parametrize("error", [ImageError("IMAGE_DAMAGED", "broken"), RuntimeError("bug")])
async def test_permits_are_given_back_after_frames_that_fail(error):
    permits = Permits(1, time.monotonic_ns)

    async def fail(image):
        raise error

    camera = Camera(fail, permits=permits)
    running = asyncio.create_task(camera.stream.run(camera.requests()))
    await camera.send(config())
    for number in range(1, 4):
        await camera.send(frame(number))
        await until(lambda number=number: (number, "error") in camera.kinds())
    await permits_are_free(permits)
    await camera.send(None)
    await running


async def test_permits_are_given_back_after_frames_that_waited_too_long():
    permits, times = Permits(1, time.monotonic_ns), itertools.count(0, 2 * 10**9)
    await Camera(clock=lambda: next(times), permits=permits).run(config(), frame(1), frame(2))
    await permits_are_free(permits)


async def test_permits_are_given_back_when_the_camera_goes_while_its_frame_is_in_work():
    permits, in_work = Permits(1, time.monotonic_ns), asyncio.Event()

    async def never(image):
        in_work.set()
        await asyncio.Event().wait()

    camera = Camera(never, permits=permits)
    running = asyncio.create_task(camera.stream.run(camera.requests()))
    await camera.send(config(), frame(1))
    await in_work.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await permits_are_free(permits)


async def test_a_camera_that_goes_while_it_waits_for_a_permit_leaves_it_to_the_others():
    permits, gate = Permits(1, time.monotonic_ns), asyncio.Event()

    async def wait(image):
        await gate.wait()
        return NOBODY

    busy, leaving, patient = (Camera(wait, permits=permits) for _ in range(3))
    tasks = []
    for camera in (busy, leaving, patient):
        tasks.append(asyncio.create_task(camera.stream.run(camera.requests())))
        await camera.send(config(), frame(1))
        await until(lambda camera=camera: camera.stream._last_sequence == 1)
        await asyncio.sleep(0.01)
    tasks[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    gate.set()
    for camera in (busy, patient):
        await camera.send(None)
    await asyncio.gather(tasks[0], tasks[2])
    assert busy.kinds()[1:] == patient.kinds()[1:] == [(1, "result")]


@pytest.mark.parametrize("late", [True, False], ids=["frames too old", "frames in time"])
async def test_a_client_that_reads_nothing_holds_no_permit_that_others_wait_for(late):
    permits, never, times = Permits(1, time.monotonic_ns), asyncio.Event(), itertools.count(0, 2 * 10**9)

    async def stuck(answer):
        await never.wait()

    deaf = Camera(write=stuck, permits=permits, clock=(lambda: next(times)) if late else time.monotonic_ns)
    running = asyncio.create_task(deaf.stream.run(deaf.requests()))
    await deaf.send(config(), *(frame(number) for number in range(1, 501)))
    await asyncio.sleep(0.2)
    assert deaf.sent.qsize() > 0  # it is stuck
    answers = await asyncio.wait_for(Camera(permits=permits).run(config(), frame(1)), 20)
    assert [answer.WhichOneof("message") for answer in answers] == ["ready", "result"]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


# ---- the end of a stream


async def camera_ends(camera, running):
    await camera.send(None)


async def camera_breaks_the_contract(camera, running):
    await camera.send(config())


async def camera_is_cancelled(camera, running):
    running.cancel()


async def server_drains(camera, running):
    camera.draining.set()


async def camera_says_nothing_for_too_long(camera, running):
    pass


@pytest.mark.parametrize(
    "end",
    [camera_ends, camera_breaks_the_contract, camera_is_cancelled, server_drains, camera_says_nothing_for_too_long],
)
@pytest.mark.parametrize("frames", [0, 1])
async def test_however_a_stream_ends_its_session_is_closed_and_its_share_is_free(end, frames):
    camera = Camera(limits=replace(LIMITS, idle_timeout_s=0.2))
    running = asyncio.create_task(camera.stream.run(camera.requests()))
    await camera.send(config(), *(frame(number + 1) for number in range(frames)))
    await until(lambda: len(camera.answers) == 1 + frames)
    assert not camera.session.closed
    await end(camera, running)
    await asyncio.gather(running, return_exceptions=True)
    assert camera.session.closed
    assert camera.stream.share.flow.enter("next", 0).credits == 3  # as much as a camera gets that is alone


@pytest.mark.parametrize("error", [ConnectionError("gone"), RuntimeError("bug")])
async def test_when_answers_cannot_be_written_the_session_is_closed(error):
    async def fail(answer):
        raise error

    camera = Camera(write=fail)
    await camera.send(config(), frame(1), None)
    await asyncio.gather(camera.stream.run(camera.requests()), return_exceptions=True)
    assert camera.session.closed


async def test_when_the_transport_fails_while_it_is_read_the_session_is_closed():
    camera = Camera()

    async def requests():
        yield config()
        raise RuntimeError("transport")

    await asyncio.gather(camera.stream.run(requests()), return_exceptions=True)
    assert camera.session.closed


async def test_a_stream_that_never_opens_opens_no_session():
    camera = Camera()
    with pytest.raises(InvalidInputError):
        await camera.run(frame(1))
    assert not hasattr(camera, "name")


# ---- advice


class Scribe:
    """Keeps everything that is written, in its order."""

    def __init__(self):
        self.written = []

    async def write(self, answer):
        self.written.append(answer)

    def kinds(self):
        return [answer.WhichOneof("message") for answer in self.written]

    def credits(self):
        return [answer.advice.credits for answer in self.written if answer.WhichOneof("message") == "advice"]


async def test_advice_comes_right_after_ready_and_not_again_while_nothing_changes():
    scribe, times = Scribe(), itertools.count(0, 10**9)
    limits = replace(LIMITS, max_frame_age_ns=10**12)
    camera = Camera(write=scribe.write, limits=limits, clock=lambda: next(times))
    running = asyncio.create_task(camera.stream.run(camera.requests()))
    await camera.send(config())
    for number in range(1, 11):
        await camera.send(frame(number))
        await until(lambda number=number: scribe.kinds().count("result") == number)
    await camera.send(None)
    await running
    assert scribe.kinds() == ["ready", "advice"] + ["result"] * 10
    assert scribe.credits() == [3]


async def test_a_camera_is_told_when_another_one_comes_and_when_it_goes():
    now, scribe, flow = [0], Scribe(), Flow(FlowRule(threads=2, admitted=3, credits=3))
    limits = replace(LIMITS, max_frame_age_ns=10**12)
    camera = Camera(write=scribe.write, limits=limits, clock=lambda: now[0], flow=flow)
    running = asyncio.create_task(camera.stream.run(camera.requests()))
    await camera.send(config())
    await until(lambda: scribe.credits() == [3])

    async def show(number, at_s):
        now[0] = round(at_s * 10**9)
        await camera.send(frame(number))
        await until(lambda: scribe.kinds().count("result") == number)
        await asyncio.sleep(0.01)

    await show(1, 0.5)
    flow.enter("another", now[0])
    await show(2, 0.9)  # not yet a second after the last advice
    assert scribe.credits() == [3]
    await show(3, 1.1)
    assert scribe.credits() == [3, 2]
    flow.leave("another")
    await show(4, 2.2)
    assert scribe.credits() == [3, 2, 3]
    await camera.send(None)
    await running


# ---- packets of video


def packet(sequence, data):
    image = image_pb2.Image(codec=image_pb2.IMAGE_CODEC_H264, data=data)
    return recognition_pb2.StreamRecognizeRequest(frame=recognition_pb2.CameraFrame(sequence=sequence, image=image))


def outcomes(answers):
    """What was said of each frame: the kind of answer, or the reason of an error."""
    said = []
    for answer in answers:
        kind = answer.WhichOneof("message")
        said.append((answer.sequence, reason_of(answer.error) if kind == "error" else kind))
    return said


def reason_of(status):
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info.reason


async def test_packets_are_recognised_as_the_pictures_that_they_code():
    seen = []

    async def recognise(image):
        seen.append((image.codec, image.data, image.decoded_here))
        return NOBODY

    camera = Camera(recognise, decoder=FakeDecoder())
    await camera.run(config(), packet(1, KEY))
    assert camera.kinds()[1:] == [(1, "result")]
    assert seen == [(Codec.BGR24, KEY, True)]


async def test_packets_before_the_first_key_frame_are_errors_and_the_stream_goes_on():
    camera = Camera(decoder=FakeDecoder())
    answers = await camera.run(config(), packet(1, DELTA), packet(2, DELTA), packet(3, KEY))
    assert outcomes(answers)[1:] == [(1, "KEY_FRAME_NEEDED"), (2, "KEY_FRAME_NEEDED"), (3, "result")]


async def test_every_packet_is_decoded_in_order_although_its_picture_is_superseded():
    gate = asyncio.Event()

    async def recognise(image):
        await gate.wait()
        return NOBODY

    decoder = FakeDecoder()
    camera = Camera(recognise, decoder=decoder)
    running = asyncio.create_task(camera.stream.run(camera.requests()))
    await camera.send(config(), packet(1, KEY))
    await until(lambda: decoder.numbers == [1])
    await asyncio.sleep(0.02)
    await camera.send(*(packet(number, DELTA) for number in range(2, 7)))
    await until(lambda: decoder.numbers == [1, 2, 3, 4, 5, 6])
    await until(lambda: len(camera.answers) == 5)
    gate.set()
    await camera.send(None)
    await running
    assert camera.kinds()[1:] == [*((n, "dropped") for n in (2, 3, 4, 5)), (1, "result"), (6, "result")]


@pytest.mark.parametrize("at_once", [1, 2])
async def test_pictures_that_are_held_back_at_the_end_are_all_recognised(at_once):
    camera = Camera(decoder=FakeDecoder(delay=4), limits=replace(LIMITS, frames_at_once=at_once))
    await camera.run(config(), packet(1, KEY), *(packet(number, DELTA) for number in range(2, 5)))
    assert camera.kinds()[1:] == [(number, "result") for number in range(1, 5)]


async def test_a_decoder_that_dies_is_an_error_of_its_frame():
    camera = Camera(decoder=FakeDecoder())
    answers = await camera.run(config(), packet(1, KEY + b"die"), packet(2, DELTA), packet(3, KEY))
    assert outcomes(answers)[1:] == [(1, "DECODER_FAILED"), (2, "KEY_FRAME_NEEDED"), (3, "result")]


@pytest.mark.parametrize("last", [None, config()])
async def test_the_decoder_is_closed_however_the_stream_ends(last):
    decoder = FakeDecoder()
    camera = Camera(decoder=decoder)
    await camera.send(config(), packet(1, KEY), last, None)
    with suppress(InvalidInputError):
        await camera.stream.run(camera.requests())
    assert decoder.closed


async def test_a_stream_that_is_cancelled_waits_for_no_message_any_more():
    def reads():
        return [task for task in asyncio.all_tasks() if task.get_coro().__qualname__ == "CameraStream._next"]

    camera = Camera()
    await camera.send(config(), frame(1))
    running = asyncio.create_task(camera.stream.run(camera.requests()))
    await until(lambda: len(camera.answers) == 2)
    assert len(reads()) == 1
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await until(lambda: reads() == [])


async def test_the_decoder_is_closed_when_the_call_is_cancelled():
    decoder = FakeDecoder()
    camera = Camera(decoder=decoder)
    running = asyncio.create_task(camera.stream.run(camera.requests()))
    await camera.send(config(), packet(1, KEY))
    await until(lambda: len(camera.answers) == 2)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert decoder.closed
