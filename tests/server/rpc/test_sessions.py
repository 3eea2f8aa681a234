"""Frames go into a session in order and come out of worker threads; nothing that is cancelled holds others up."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from server.domain import Codec, EncodedImage, Match
from server.errors import ImageError, UnavailableError
from server.identity.track import TrackRule
from server.pipeline.allowance import LookAllowance
from server.pipeline.followed import NobodyWatches
from server.pipeline.rhythm import DetectionPace
from server.pipeline.session import CameraName, SessionRule
from server.rpc.sessions import FollowingSession, Sessions, SingleFrames
from tests.painted import PaintedFace, image, somebody
from tests.server.pipeline.parts import FAR, GALLERY, enroller_of, photo, recogniser_of, request

SECOND = 10**9
CAMERA = CameraName("door", "s", GALLERY, FAR)
RULE = SessionRule(TrackRule(same_person=0.5, other_person=1.0), DetectionPace())
ADA = PaintedFace(somebody(1))
JUNK = EncodedImage(Codec.JPEG, b"\xff\xd8\xff junk")


class Diary:
    def __init__(self):
        self.reports = []

    def observe(self, report):
        self.reports.append(report)
        return ""

    groups_revision = 0

    def group_of(self, gallery, track):
        return ""


@pytest.fixture
def recogniser(loaded, galleries):
    enroller_of(loaded, galleries).enrol(request("Ada", photo(ADA)))
    return recogniser_of(loaded, galleries)


def ticket_at(session, number):
    return session.ticket(number * SECOND // 25, number * SECOND // 25, number * SECOND // 25)


def named(recognition):
    return [face.answer.display_name for face in recognition.recognised if isinstance(face.answer, Match)]


def test_a_rule_opens_sessions_that_follow_and_no_rule_sessions_that_do_not(recogniser, executor):
    assert isinstance(
        Sessions(recogniser, RULE, NobodyWatches(), executor).open(CAMERA, LookAllowance().camera()), FollowingSession
    )
    assert isinstance(
        Sessions(recogniser, None, NobodyWatches(), executor).open(CAMERA, LookAllowance().camera()), SingleFrames
    )


@pytest.mark.parametrize("rule", [RULE, None], ids=["followed", "single frames"])
async def test_either_way_people_are_named_and_a_bad_frame_is_its_own_error(recogniser, executor, rule):
    session = Sessions(recogniser, rule, NobodyWatches(), executor).open(CAMERA, LookAllowance().camera())
    for number, frame in enumerate([image(ADA), JUNK, image(ADA)]):
        ticket = ticket_at(session, number)
        if frame is JUNK:
            with pytest.raises(ImageError):
                await session.look(ticket, frame)
        else:
            assert named(await session.look(ticket, frame)) == ["Ada"]
    session.close()


async def test_only_who_is_followed_has_a_track_and_single_frames_embed_every_face(recogniser, executor):
    said = {}
    for rule in (RULE, None):
        session = Sessions(recogniser, rule, NobodyWatches(), executor).open(CAMERA, LookAllowance().camera())
        said[rule] = [await session.look(ticket_at(session, number), image(ADA)) for number in range(3)]
        session.close()
    assert [face.track for each in said[RULE] for face in each.recognised] == ["s-1"] * 3
    assert [face.track for each in said[None] for face in each.recognised] == [""] * 3
    assert [sum(each.looks.values()) for each in said[None]] == [1, 1, 1]
    assert [sum(each.looks.values()) for each in said[RULE]] == [1, 0, 0]


async def test_two_sessions_follow_their_own_faces(recogniser, executor):
    sessions = Sessions(recogniser, RULE, NobodyWatches(), executor)
    door, hall = (
        sessions.open(CameraName(name, name, GALLERY, FAR), LookAllowance().camera()) for name in ("door", "hall")
    )
    both = await asyncio.gather(*(each.look(ticket_at(each, 0), image(ADA)) for each in (door, hall)))
    assert [each.recognised[0].track for each in both] == ["door-1", "hall-1"]


async def test_a_frame_that_is_cancelled_before_its_work_began_holds_nobody_up(recogniser):
    with ThreadPoolExecutor(1) as pool:
        session = Sessions(recogniser, RULE, NobodyWatches(), pool).open(CAMERA, LookAllowance().camera())
        gate = threading.Event()
        pool.submit(gate.wait)
        first = asyncio.create_task(session.look(ticket_at(session, 0), image(ADA)))
        second = asyncio.create_task(session.look(ticket_at(session, 1), image(ADA)))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        gate.set()
        assert named(await second) == ["Ada"]
        session.close()


async def test_closing_returns_at_once_and_ends_the_tracks_behind_the_frames_in_work(recogniser):
    diary = Diary()
    with ThreadPoolExecutor(1) as pool:
        session = Sessions(recogniser, RULE, diary, pool).open(CAMERA, LookAllowance().camera())
        gate = threading.Event()
        pool.submit(gate.wait)
        working = asyncio.create_task(session.look(ticket_at(session, 0), image(ADA)))
        await asyncio.sleep(0)
        session.close()
        assert diary.reports == []
        gate.set()
        assert named(await working) == ["Ada"]
    assert [(report.track, report.ended) for report in diary.reports] == [("s-1", True)]


async def test_a_frame_after_the_end_is_refused(recogniser):
    with ThreadPoolExecutor(1) as pool:
        session = Sessions(recogniser, RULE, NobodyWatches(), pool).open(CAMERA, LookAllowance().camera())
        session.close()
        with pytest.raises(UnavailableError) as refused:
            await session.look(ticket_at(session, 0), image(ADA))
    assert refused.value.reason == "STREAM_CLOSED"
