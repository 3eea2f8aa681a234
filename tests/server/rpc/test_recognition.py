"""RecognitionService over the wire, on painted faces."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import AsyncExitStack

import grpc
import pytest
from facestream.v1 import image_pb2, recognition_pb2, recognition_pb2_grpc

from server.errors import ExhaustedError, UnavailableError
from server.identity.track import TrackRule
from server.pipeline.allowance import LookAllowance
from server.pipeline.flow import Flow, FlowRule
from server.pipeline.followed import NobodyWatches
from server.pipeline.packets import PacketPictures
from server.pipeline.rhythm import DetectionPace
from server.pipeline.session import SessionRule
from server.rpc.books import ServerBooks
from server.rpc.permits import Permits
from server.rpc.recognition import RecognitionServicer, Streams
from server.rpc.sessions import Sessions
from server.rpc.stream import StreamClock, StreamLimits, StreamShare
from tests.painted import DIMENSION, PaintedFace, between, paint, person, png, portrait
from tests.server.pipeline.fake_decoder import KEY, FakeDecoder
from tests.server.pipeline.parts import FAR, enroller_of, photo, recogniser_of, request
from tests.server.rpc.served import refused_by, served

LIMITS = StreamLimits(target_far=FAR, frames_at_once=1, max_frame_age_ns=10**10, idle_timeout_s=30, drain_ns=10**9)


@pytest.fixture
def books(metrics):
    return ServerBooks(time.monotonic_ns, metrics)


@pytest.fixture
def streams(books):
    return Streams(at_most=2, books=books)


@pytest.fixture(params=[True, False], ids=["followed", "single frames"])
def share(request, loaded, galleries, executor, streams):
    rule = SessionRule(TrackRule(same_person=0.5, other_person=1.0), DetectionPace()) if request.param else None
    sessions = Sessions(recogniser_of(loaded, galleries), rule, NobodyWatches(), executor)
    return StreamShare(
        limits=LIMITS,
        open_session=sessions.open,
        open_packets=lambda: PacketPictures(lambda codec: FakeDecoder(), max_bytes=2**20, clock=time.monotonic_ns),
        permits=Permits(3, time.monotonic_ns),
        flow=Flow(FlowRule(threads=2, admitted=3, credits=3)),
        allowance=LookAllowance(),
        draining=streams.draining,
    )


@pytest.fixture
async def stub(loaded, galleries, executor, metrics, streams, share):
    servicer = RecognitionServicer(
        recogniser=recogniser_of(loaded, galleries),
        executor=executor,
        streams=streams,
        share=share,
        clock=StreamClock(time.monotonic_ns, time.time_ns),
        metrics=metrics.frames,
    )
    async with served(
        lambda server: recognition_pb2_grpc.add_RecognitionServiceServicer_to_server(servicer, server), metrics
    ) as channel:
        yield recognition_pb2_grpc.RecognitionServiceStub(channel)


@pytest.fixture
def ada(loaded, galleries):
    enroller_of(loaded, galleries).enrol(request("Ada", photo(PaintedFace(person(1)))))


def picture(embedding, **looks):
    return image_pb2.Image(data=portrait(embedding, **looks))


def config():
    return recognition_pb2.StreamRecognizeRequest(config=recognition_pb2.StreamConfig(camera="door"))


def frame(sequence, image):
    return recognition_pb2.StreamRecognizeRequest(frame=recognition_pb2.CameraFrame(sequence=sequence, image=image))


# ---- single images


async def test_the_faces_of_a_picture_are_named(stub, ada):
    answer = await stub.Recognize(recognition_pb2.RecognizeRequest(image=picture(person(1))))
    (face,) = answer.result.faces
    assert face.match.display_name == "Ada"
    assert (answer.result.width, answer.result.height, answer.result.gallery_revision) == (192, 192, 1)
    assert answer.result.timing.total.nanos > 0


async def test_a_picture_is_held_against_the_gallery_that_is_asked_for(stub, ada):
    elsewhere = recognition_pb2.RecognizeRequest(image=picture(person(1)), gallery="tenants/default/galleries/other")
    (face,) = (await stub.Recognize(elsewhere)).result.faces
    assert face.unknown.reason


@pytest.mark.parametrize(("distance", "same"), [(0.3, True), (1.3, False)])
async def test_two_pictures_are_of_one_person_when_they_are_near(stub, distance, same):
    pair = recognition_pb2.VerifyRequest(first=picture(person(1)), second=picture(between(1, 2, distance)))
    verdict = await stub.Verify(pair)
    assert (verdict.same, verdict.target_far) == (same, FAR)
    assert verdict.distance == pytest.approx(distance, abs=0.03)
    assert (verdict.distance <= verdict.threshold) == same
    assert verdict.first_face.WhichOneof("answer") is None
    assert verdict.second_face.box.width == 64


@pytest.mark.parametrize("mirrored", [False, True])
async def test_every_face_of_a_picture_is_embedded(stub, loaded, mirrored):
    faces = (PaintedFace(person(1), x=50, y=50), PaintedFace(person(2), side=48, x=140, y=140))
    image = image_pb2.Image(data=png(paint(faces)))
    answer = await stub.Embed(recognition_pb2.EmbedRequest(image=image, mirrored=mirrored))
    assert answer.fingerprint == loaded.vision.fingerprint
    assert [len(face.embedding) for face in answer.faces] == [DIMENSION] * 2
    assert [max(range(DIMENSION), key=list(face.embedding).__getitem__) for face in answer.faces] == [1, 2]
    assert answer.faces[0].face.WhichOneof("answer") is None


STILLS = [
    lambda stub: stub.Recognize(recognition_pb2.RecognizeRequest(image=picture(person(1)))),
    lambda stub: stub.Embed(recognition_pb2.EmbedRequest(image=picture(person(1)))),
    lambda stub: stub.Verify(recognition_pb2.VerifyRequest(first=picture(person(1)), second=picture(person(1)))),
]


@pytest.mark.parametrize("still", STILLS, ids=["Recognize", "Embed", "Verify"])
async def test_still_images_take_turns_with_the_cameras_and_count_together_as_one_of_them(stub, share, ada, still):
    async def camera():
        async with share.permits.held("camera"):
            return sum(call.done() for call in archive)

    async with AsyncExitStack() as permits:
        for session in ("a", "b", "c"):
            await permits.enter_async_context(share.permits.held(session))
        archive = [asyncio.ensure_future(still(stub)) for _ in range(20)]
        done, _ = await asyncio.wait(archive, timeout=0.3)
        assert not done
        finished_before_it = asyncio.create_task(camera())
        await asyncio.sleep(0)
    assert await finished_before_it < 10
    await asyncio.gather(*archive)


async def test_a_still_image_that_nobody_waits_for_any_more_gives_its_permit_back_when_no_thread_has_it(
    stub, share, executor, ada
):
    async def camera(session):
        async with share.permits.held(session):
            began.append(session)
            await asyncio.sleep(60)

    began, free = [], threading.Event()
    busy = [executor.submit(free.wait, 60) for _ in range(4)]
    call = stub.Recognize(recognition_pb2.RecognizeRequest(image=picture(person(1))))
    await asyncio.sleep(0.2)
    call.cancel()
    cameras = [asyncio.create_task(camera(session)) for session in ("a", "b", "c")]
    await asyncio.sleep(0.2)
    assert began == ["a", "b", "c"], "the threads are busy with others' work"
    free.set()
    await until(lambda: all(future.done() for future in busy))
    for task in cameras:
        task.cancel()


async def test_a_packet_of_video_outside_a_stream_is_refused(stub):
    image = image_pb2.Image(codec=image_pb2.IMAGE_CODEC_H264, data=KEY)
    for call in (
        stub.Recognize(recognition_pb2.RecognizeRequest(image=image)),
        stub.Verify(recognition_pb2.VerifyRequest(first=image, second=image)),
        stub.Embed(recognition_pb2.EmbedRequest(image=image)),
    ):
        refused = await refused_by(call)
        assert (refused.code, refused.reason) == ("INVALID_ARGUMENT", "CODEC_UNSUPPORTED")
        assert "StreamRecognize" in refused.message


@pytest.mark.parametrize("far", [-1, 0.2, float("nan")])
async def test_a_rate_out_of_range_is_refused(stub, far):
    image = picture(person(1))
    for call in (
        stub.Recognize(recognition_pb2.RecognizeRequest(image=image, target_far=far)),
        stub.Verify(recognition_pb2.VerifyRequest(first=image, second=image, target_far=far)),
    ):
        assert (await refused_by(call)).reason == "TARGET_FAR_INVALID"


# ---- streams


async def test_a_stream_is_counted_while_it_is_open(stub, streams, count, ada):
    stream = stub.StreamRecognize()
    await stream.write(config())
    assert [(await stream.read()).WhichOneof("message") for _ in range(2)] == ["ready", "advice"]
    await stream.write(frame(1, picture(person(1))))
    assert (await stream.read()).result.faces[0].match.display_name == "Ada"
    assert (streams.open, count("facestream_streams")) == (1, 1)
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF
    await until(lambda: streams.open == 0)
    assert count("facestream_streams") == 0


async def until(condition):
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came")


async def refused_stream(stub, message):
    """How the server refuses a stream that begins with this message.

    Now and then gRPC resets a call that is refused while the client still sends, before the refusal is through: the
    client has INTERNAL without a reason, and begins again.
    """
    for _ in range(3):
        refusal = await refused_by(stub.StreamRecognize(iter([message])).read())
        if refusal.reason:
            break
    return refusal


async def opened(stub):
    stream = stub.StreamRecognize()
    await stream.write(config())
    assert [(await stream.read()).WhichOneof("message") for _ in range(2)] == ["ready", "advice"]
    return stream


async def test_streams_over_the_limit_are_refused_until_one_is_closed(stub, streams):
    first, _second = await opened(stub), await opened(stub)
    refusal = await refused_stream(stub, config())
    assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "STREAMS_EXCEEDED")
    await first.done_writing()
    await first.read()
    await until(lambda: streams.open == 1)
    await opened(stub)


async def test_a_draining_server_takes_no_more_streams(stub, streams):
    streams.draining.set()
    refusal = await refused_stream(stub, config())
    assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "SERVER_DRAINING")


async def test_cameras_that_hang_up_are_counted_out_and_are_no_error_of_the_server(stub, streams, caplog):
    for _ in range(10):
        stream = stub.StreamRecognize(iter([config(), *(frame(n, picture(person(1))) for n in range(1, 10))]))
        await stream.read()
        stream.cancel()
        await until(lambda: streams.open == 0)
    assert [record.message for record in caplog.records if record.levelname in {"ERROR", "WARNING"}] == []


async def test_a_stream_that_breaks_the_contract_is_counted_out(stub, streams):
    for _ in range(3):
        refusal = await refused_stream(stub, frame(1, picture(person(1))))
        assert refusal.reason == "CONFIG_MISSING"
    await until(lambda: streams.open == 0)


def test_streams_are_counted_in_and_out(books):
    streams = Streams(at_most=1, books=books)
    streams.enter()
    with pytest.raises(ExhaustedError, match="limit is 1"):
        streams.enter()
    streams.leave()
    streams.enter()
    assert streams.open == 1


async def test_nobody_enters_while_the_server_drains(books):
    streams = Streams(at_most=1, books=books)
    streams.draining.set()
    with pytest.raises(UnavailableError):
        streams.enter()
    assert streams.open == 0
