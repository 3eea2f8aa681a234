"""One camera's film: faces keep their tracks and names, nobody gets another's, and others are told once they should be.

People are painted, so that who is in a frame, and where, is known; the models that see them are real networks.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.domain import Codec, EncodedImage, IdentityName, Match, Undecided, UndecidedReason, Unknown
from server.errors import FingerprintError, ImageError, UnavailableError
from server.identity.track import TrackRule
from server.pipeline.allowance import AllowanceRule, LookAllowance
from server.pipeline.followed import NobodyWatches
from server.pipeline.rhythm import DetectionPace
from server.pipeline.session import CameraName, CameraSession, SessionRule
from tests.painted import PaintedFace, paint, person, png, somebody
from tests.server.pipeline.parts import FAR, GALLERY, photo, request

SECOND = 10**9
WALL = 1_700_000_000 * SECOND
RULE = SessionRule(TrackRule(same_person=0.5, other_person=1.0), DetectionPace())
ADA, BOB, EVE = PaintedFace(somebody(1)), PaintedFace(somebody(2)), PaintedFace(somebody(3))
JUNK = EncodedImage(Codec.JPEG, b"\xff\xd8\xff junk")


def picture(*faces):
    return EncodedImage(Codec.PNG, png(paint(faces, width=480)))


def at(face, x, y=96):
    return replace(face, x=x, y=y)


class Diary:
    """An observer that keeps what it is told, and puts every stranger into one group."""

    def __init__(self):
        self.reports = []
        self.group = "tenants/default/galleries/default/groups/strangers"
        self.groups_revision = 0

    def observe(self, report):
        self.reports.append(report)
        return self.group

    def group_of(self, gallery, track):
        reported = {(report.gallery, report.track) for report in self.reports}
        return self.group if (gallery, track) in reported else ""


class Film:
    """Shows frames to a session at the camera's times."""

    def __init__(self, recogniser, rule=RULE, observer=None, allowance=None):
        self.observer = observer or Diary()
        self.allowance = (allowance or LookAllowance(AllowanceRule(saved=1e9))).camera()
        self.session = CameraSession(
            recogniser, rule, self.allowance, self.observer, CameraName("door", "s", GALLERY, FAR)
        )
        self.at_s = 0.0

    def ticket(self, at_s):
        self.at_s = at_s
        return self.session.ticket(WALL + round(at_s * SECOND), round(at_s * SECOND), WALL + round(at_s * SECOND))

    def show(self, *faces, at_s=None, after_s=0.04, image=None):
        ticket = self.ticket(self.at_s + after_s if at_s is None else at_s)
        return self.session.look(ticket, image or picture(*faces))

    def stay(self, *faces, seconds, frames_per_s=25):
        """Shows the same frame for a while; gives what was said of each."""
        return [self.show(*faces, after_s=1 / frames_per_s) for _ in range(round(seconds * frames_per_s))]

    def ended(self):
        """Tracks that were reported as ended, in that order."""
        return [report.track for report in self.observer.reports if report.ended]


@pytest.fixture
def film(recogniser):
    film = Film(recogniser)
    yield film
    film.session.close()


@pytest.fixture
def people(enroller):
    """Ada and Bob are enrolled; Eve is not."""
    enrolled = [enroller.enrol(request(name, photo(face))) for name, face in (("Ada", ADA), ("Bob", BOB))]
    return [IdentityName.parse(each.receipt.identity.name) for each in enrolled]


def name_of(answer):
    return answer.display_name if isinstance(answer, Match) else None


def names(recognition):
    return [name_of(face.answer) for face in recognition.recognised]


def tracks(recognition):
    return [face.track for face in recognition.recognised]


def middles(recognition):
    boxes = recognition.faces.boxes
    return ((boxes[:, :2] + boxes[:, 2:]) / 2).tolist()


def looks(recognition):
    return sum(recognition.looks.values())


def by_place(recognition):
    """{middle x of a face: what is said of it}, with x to the nearest painted cell."""
    return {round(x): said for (x, _), said in zip(middles(recognition), recognition.recognised, strict=True)}


# ---- a busy server


def test_where_looks_are_few_faces_are_named_one_after_the_other_the_best_first(recogniser, people):
    allowance = LookAllowance(AllowanceRule(idle=0.5, saved=1.0, reserve=0.0))
    film = Film(recogniser, allowance=allowance)
    crowd = (at(replace(ADA, side=40), 60), at(BOB, 300))
    said = []
    for i in range(5):
        said.append(film.show(*crowd))
        film.allowance.frame(waited_ns=0, work_s=0.0, at_ns=i)
    assert [looks(each) for each in said] == [1, 0, 1, 0, 0]
    assert [names(each) for each in said] == [["Bob", None]] * 2 + [["Bob", "Ada"]] * 3
    assert said[0].recognised[1].answer == Undecided(UndecidedReason.MORE_FRAMES_NEEDED)
    assert {tuple(tracks(each)) for each in said} == {("s-1", "s-2")}
    film.session.close()


def test_while_another_camera_s_faces_are_looked_at_one_face_is_looked_at_in_a_frame(recogniser, people):
    allowance = LookAllowance(places=1)
    film = Film(recogniser, allowance=allowance)
    crowd = (at(replace(ADA, side=40), 60), at(BOB, 300))
    with allowance.taken(2, 0):
        assert names(film.show(*crowd)) == ["Bob", None]
    assert names(film.show(*crowd)) == ["Bob", "Ada"]
    film.session.close()


# ---- one person


def test_a_person_who_walks_through_keeps_one_track_and_one_name_for_few_embeddings(film, people):
    said = [film.show(at(ADA, 40 + 8 * i)) for i in range(48)]
    assert {tuple(tracks(each)) for each in said} == {("s-1",)}
    assert {tuple(names(each)) for each in said} == {("Ada",)}
    assert 2 <= sum(looks(each) for each in said) <= len(said) / 4


def test_a_name_comes_with_the_first_frame_and_is_confirmed_by_a_second_look(film, people):
    said = [each.recognised[0].answer for each in film.stay(at(ADA, 96), seconds=1)]
    provisional = [answer.provisional for answer in said]
    assert provisional[0]
    assert not provisional[-1]
    assert provisional == sorted(provisional, reverse=True)


def test_a_stranger_is_unknown_from_the_first_frame_to_the_last(film, people):
    assert all(isinstance(each.recognised[0].answer, Unknown) for each in film.stay(at(EVE, 96), seconds=1))


def test_faces_are_where_they_are_painted_and_the_picture_is_as_large_as_it_is(film, people):
    said = film.show(at(ADA, 100, 60), at(BOB, 300, 120))
    assert (said.width, said.height) == (480, 192)
    np.testing.assert_allclose(sorted(middles(said)), [(102, 62), (302, 122)], atol=1)
    assert said.gallery_revision > 0


def test_at_two_frames_a_second_a_walking_person_keeps_track_and_name(film, people):
    said = [film.show(at(ADA, 40 + 56 * i), at_s=i / 2) for i in range(8)]
    assert {tuple(tracks(each)) for each in said} == {("s-1",)}
    assert {tuple(names(each)) for each in said} == {("Ada",)}
    assert not said[-1].recognised[0].answer.provisional


def test_a_person_who_turns_up_elsewhere_after_a_moment_is_found_again(film, people):
    first = film.show(at(ADA, 60))
    film.stay(seconds=1)
    again = film.show(at(ADA, 400))
    assert tracks(again) == tracks(first)


def test_a_person_who_comes_back_late_begins_another_track(film, people):
    first = film.stay(at(ADA, 60), seconds=0.5)[-1]
    film.stay(seconds=RULE.track.lost_s + 0.2)
    assert film.ended() == ["s-1"]
    again = film.show(at(ADA, 60))
    assert tracks(again) == ["s-2"] != tracks(first)
    assert again.recognised[0].answer.provisional


def test_an_empty_frame_shows_nobody(film, people):
    film.stay(at(ADA, 60), seconds=0.2)
    gone = film.show()
    assert (len(gone.faces), gone.recognised, looks(gone)) == (0, (), 0)


# ---- several people


def test_two_people_who_cross_keep_their_tracks_and_never_wear_each_other_s_name(film, people):
    said = []
    for i in range(50):
        left, right = 40 + 8 * i, 440 - 8 * i
        said.append((left, right, film.show(at(ADA, left), at(BOB, right))))
    for left, right, each in said:
        for (x, _), face in zip(middles(each), each.recognised, strict=True):
            if abs(left - right) > 8:  # else they are at one place
                nearer = "Ada" if abs(x - left) < abs(x - right) else "Bob"
                assert name_of(face.answer) in (nearer, None)
    (first, *_, last) = (by_place(each) for *_, each in said)
    assert name_of(last[434].answer) == "Ada"
    assert name_of(last[50].answer) == "Bob"
    assert last[434].track == first[42].track
    assert last[50].track == first[442].track


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("frames_per_s", [2, 25])
def test_after_a_cut_to_another_person_at_the_same_place_the_name_does_not_carry_over(film, people, seed, frames_per_s):
    before = film.stay(at(ADA, 96), seconds=2, frames_per_s=frames_per_s)[-1]
    assert names(before) == ["Ada"]
    after = film.show(at(PaintedFace(somebody(10 + seed)), 96), after_s=1 / frames_per_s)
    assert names(after) == [None]
    assert tracks(after) != tracks(before)


def test_after_a_cut_to_another_enrolled_person_that_one_is_named_at_once(film, people):
    film.stay(at(ADA, 96), seconds=1)
    after = film.show(at(BOB, 96))
    assert names(after) == ["Bob"]
    assert after.recognised[0].answer.provisional


def test_two_people_who_change_places_in_a_cut_change_names(film, people):
    before = by_place(film.stay(at(ADA, 96), at(BOB, 300), seconds=1)[-1])
    after = by_place(film.show(at(BOB, 96), at(ADA, 300)))
    assert {x: name_of(each.answer) for x, each in after.items()} == {98: "Bob", 302: "Ada"}
    assert (after[98].track, after[302].track) == (before[302].track, before[98].track)


def test_nobody_is_named_at_two_places_of_one_frame(film, people):
    said = film.stay(at(ADA, 96), at(ADA, 300), seconds=1)
    assert {names(each).count("Ada") for each in said} == {1}


# ---- the gallery changes


def until_no_look_is_due(film, *faces):
    """Shows frames until one needed no embedding."""
    return next(each for each in film.stay(*faces, seconds=4) if looks(each) == 0 and film.at_s > 1)


def test_a_person_who_is_enrolled_meanwhile_is_named_in_the_next_frame_without_an_embedding(film, enroller, people):
    before = until_no_look_is_due(film, at(EVE, 96))
    assert names(before) == [None]
    receipt = enroller.enrol(request("Eve", photo(EVE))).receipt
    after = film.show(at(EVE, 96))
    assert (names(after), tracks(after), looks(after)) == (["Eve"], tracks(before), 0)
    assert after.gallery_revision == receipt.revision


def test_a_person_who_is_deleted_meanwhile_is_unnamed_in_the_next_frame_without_an_embedding(film, galleries, people):
    before = until_no_look_is_due(film, at(ADA, 96))
    assert names(before) == ["Ada"]
    galleries.delete(people[0], at_ns=9)
    after = film.show(at(ADA, 96))
    assert (names(after), tracks(after), looks(after)) == ([None], tracks(before), 0)


def test_tracks_end_though_the_gallery_refuses_to_be_asked(recogniser, people):
    """A gallery of another model's embeddings refuses every search, for ever: what is followed must not pile up."""

    class Refusing:
        def __getattr__(self, name):
            return getattr(recogniser.galleries, name)

        def search(self, *arguments, **more):
            raise FingerprintError("FINGERPRINT_MISMATCH", "another model's")

    film = Film(replace(recogniser, galleries=Refusing()))
    for second in range(5):
        with pytest.raises(FingerprintError):
            film.show(at(ADA, 60 + 60 * second), at_s=10 * second)
    assert film.ended() == []
    assert len(film.session._followed) == 1
    film.session.close()


def test_what_is_seen_is_written_down_as_of_no_later_than_now(film):
    ticket = film.session.ticket(WALL + 3600 * SECOND, 0, WALL)
    assert ticket.wall_ns == WALL
    assert film.session.ticket(WALL - 3600 * SECOND, 1, WALL).wall_ns == WALL - 3600 * SECOND


def test_a_person_who_is_renamed_meanwhile_has_the_new_name_in_the_next_frame(film, galleries, people):
    film.stay(at(ADA, 96), seconds=1)
    galleries.rename(people[0], "Countess", at_ns=9)
    after = film.show(at(ADA, 96)).recognised[0].answer
    assert (after.display_name, after.provisional) == ("Countess", False)


# ---- what goes wrong


def test_a_frame_that_is_no_image_disturbs_neither_the_frames_before_nor_after(film, people):
    before = film.stay(at(ADA, 96), seconds=0.5)[-1]
    with pytest.raises(ImageError):
        film.show(image=JUNK)
    after = film.show(at(ADA, 100))
    assert (tracks(after), names(after)) == (tracks(before), ["Ada"])


def test_a_place_that_is_given_back_holds_nobody_up(film, people):
    film.session.give_back(film.ticket(0.04))
    assert names(film.show(at(ADA, 96))) == ["Ada"]


def test_a_broken_frame_lets_the_next_one_go_that_waits_for_it(film, people):
    with ThreadPoolExecutor(1) as pool:
        first, second = film.ticket(0.04), film.ticket(0.08)
        waiting = pool.submit(film.session.look, second, picture(at(ADA, 96)))
        with pytest.raises(ImageError):
            film.session.look(first, JUNK)
        assert names(waiting.result()) == ["Ada"]


TINY = replace(ADA, side=12)


def test_illegible_faces_stay_undecided_and_are_tried_again_now_and_then(film, galleries, people):
    said = film.stay(at(TINY, 96), seconds=2)
    assert {each.recognised[0].answer for each in said} == {Undecided(UndecidedReason.LOW_QUALITY)}
    assert {tuple(tracks(each)) for each in said} == {("s-1",)}
    assert sum(looks(each) for each in said) == 0  # none of them was embedded
    tried = sum(each.spent_ns.get("align", 0) > 0 for each in said)
    assert 5 <= tried <= 15
    assert {each.gallery_revision for each in said} == {galleries.revision(GALLERY)}


def test_an_illegible_face_that_comes_nearer_is_named_in_the_same_track(film, people):
    first = film.stay(at(TINY, 96), seconds=0.4)[-1]
    for side in range(14, 66, 2):
        film.show(at(replace(ADA, side=side), 96))
    last = film.stay(at(ADA, 96), seconds=0.4)[-1]
    assert names(last) == ["Ada"]
    assert tracks(last) == tracks(first)


def test_a_camera_s_clock_that_is_set_back_breaks_no_track(film, people):
    before = film.stay(at(ADA, 96), seconds=1)[-1]
    ticket = film.session.ticket(WALL - 3600 * SECOND, round((film.at_s + 0.04) * SECOND), WALL)
    after = film.session.look(ticket, picture(at(ADA, 100)))
    assert tracks(after) == tracks(before)


# ---- several frames at once


def what_was_said(recognition):
    faces = recognition.faces
    return (
        faces.boxes.tolist(),
        faces.landmarks.tolist(),
        recognition.recognised,
        recognition.gallery_revision,
        dict(recognition.looks),
    )


@pytest.mark.parametrize("pace", [DetectionPace(), DetectionPace(interval=3)], ids=["every frame", "every third"])
def test_frames_that_overtake_each_other_in_two_threads_give_the_same_as_in_order(recogniser, people, pace):
    scenes = [picture(at(ADA, 40 + 8 * i), at(BOB, 440 - 8 * i)) for i in range(40)]
    scenes[17] = JUNK
    rng = random.Random(5)

    def outcome(session, ticket, scene):
        try:
            return what_was_said(session.look(ticket, scene))
        except ImageError as error:
            return error.reason

    ordered, mixed = (Film(recogniser, replace(RULE, pace=pace), NobodyWatches()) for _ in range(2))
    expected = [outcome(ordered.session, ordered.ticket(i / 25), scene) for i, scene in enumerate(scenes)]
    with ThreadPoolExecutor(2) as pool:
        got = {}
        for start in range(0, len(scenes), 2):
            pair = [(i, mixed.ticket(i / 25)) for i in (start, start + 1)]
            if rng.random() < 0.7:
                pair.reverse()
            futures = {i: pool.submit(outcome, mixed.session, ticket, scenes[i]) for i, ticket in pair}
            got |= {i: future.result() for i, future in futures.items()}
    assert [got[i] for i in range(len(scenes))] == expected


def test_closing_sends_away_the_frames_that_wait_and_those_that_come(film):
    with ThreadPoolExecutor(1) as pool:
        film.ticket(0.04)  # is never finished
        waiting = pool.submit(film.session.look, film.ticket(0.08), picture(at(ADA, 96)))
        film.session.close()
        with pytest.raises(UnavailableError) as refused:
            waiting.result()
    assert refused.value.reason == "STREAM_CLOSED"
    with pytest.raises(UnavailableError):
        film.show(at(ADA, 96))


# ---- others are told


def test_nobody_is_told_of_a_face_before_two_looks_agree_and_then_once(film, people):
    told = []
    for _ in range(20):
        said = film.show(at(ADA, 96))
        told.append((said.recognised[0].answer.provisional, len(film.observer.reports)))
    assert {count for provisional, count in told if provisional} == {0}
    assert {count for provisional, count in told if not provisional} == {1}
    (report,) = film.observer.reports
    assert (report.answer.display_name, report.track, report.camera) == ("Ada", "s-1", "door")
    assert (report.gallery, report.ended, report.first_seen_ns) == (GALLERY, False, WALL + SECOND // 25)


def test_the_report_carries_the_template_and_the_best_crop_of_the_face(film, people):
    film.stay(at(replace(ADA, side=40), 96), seconds=0.5)
    film.stay(at(ADA, 96), seconds=1)
    film.session.close()
    last = film.observer.reports[-1]
    assert float(np.sum((last.template - np.asarray(ADA.embedding)) ** 2)) < 0.2
    assert np.linalg.norm(last.template) == pytest.approx(1, abs=1e-5)
    assert last.best.quality.size_px == pytest.approx(64, abs=2)
    assert last.best.pixels.shape == (32, 32, 3)
    assert last.first_seen_ns <= last.best.taken_at_ns <= last.last_seen_ns


def test_others_are_told_when_who_it_is_changes(film, enroller, galleries, people):
    until_no_look_is_due(film, at(EVE, 96))
    reports = film.observer.reports
    before = len(reports)
    name = enroller.enrol(request("Eve", photo(EVE))).receipt.identity.name
    film.show(at(EVE, 96))
    assert [name_of(each.answer) for each in reports[before:]] == ["Eve"]
    galleries.delete(IdentityName.parse(name), at_ns=9)
    film.show(at(EVE, 96))
    assert [name_of(each.answer) for each in reports[before:]] == ["Eve", None]


def test_a_track_that_ends_is_reported_once_with_its_frames(film, people):
    shown = len(film.stay(at(ADA, 96), seconds=0.5))
    film.stay(seconds=RULE.track.lost_s + 0.5)
    ended = [report for report in film.observer.reports if report.ended]
    assert [(each.track, each.frames, name_of(each.answer)) for each in ended] == [("s-1", shown, "Ada")]
    assert ended[0].last_seen_ns == WALL + round(0.5 * 25) * SECOND // 25
    film.session.close()
    assert [report for report in film.observer.reports if report.ended] == ended


def test_closing_ends_every_track_that_lives_once(film, people):
    film.stay(at(ADA, 60), at(EVE, 300), seconds=0.5)
    film.session.close()
    film.session.close()
    ended = [report for report in film.observer.reports if report.ended]
    assert sorted(each.track for each in ended) == ["s-1", "s-2"]
    assert {name_of(each.answer) for each in ended} == {"Ada", None}


def test_a_face_that_was_seen_once_is_reported_when_it_ends(film, people):
    film.show(at(EVE, 96))
    assert film.observer.reports == []
    film.session.close()
    assert [(each.frames, each.ended) for each in film.observer.reports] == [(1, True)]


def test_nobody_is_told_of_a_face_that_never_was_legible(film, people):
    film.stay(at(TINY, 96), seconds=1)
    film.session.close()
    assert film.observer.reports == []


def test_a_stranger_wears_the_group_that_the_observer_gave_and_a_named_person_none(film, people):
    film.stay(at(EVE, 96), at(ADA, 300), seconds=1)
    said = by_place(film.show(at(EVE, 96), at(ADA, 300)))
    assert said[98].answer.group.endswith("/groups/strangers")
    assert isinstance(said[302].answer, Match)


def test_a_group_that_changes_shows_in_the_next_frame_without_another_report(film, people):
    film.stay(at(EVE, 96), seconds=1)
    told = len(film.observer.reports)
    film.observer.group = "tenants/default/galleries/default/groups/merged"
    assert film.show(at(EVE, 96)).recognised[0].answer.group.endswith("/groups/strangers")
    film.observer.groups_revision += 1
    assert film.show(at(EVE, 96)).recognised[0].answer.group.endswith("/groups/merged")
    assert len(film.observer.reports) == told


# ---- when faces are searched for


def test_between_searches_faces_are_where_their_motion_takes_them(recogniser, people):
    film = Film(recogniser, replace(RULE, pace=DetectionPace(interval=4)))
    for i in range(40):
        said = film.show(at(ADA, 40 + 8 * i))
        if i > 12:  # by then the velocity is known
            assert middles(said) == [pytest.approx((42 + 8 * i, 98), abs=6)]
            assert names(said) == ["Ada"]
    assert tracks(said) == ["s-1"]


def test_a_face_that_comes_between_two_searches_is_seen_at_the_next(recogniser, people):
    film = Film(recogniser, replace(RULE, pace=DetectionPace(interval=4)))
    said = [film.show(*[at(ADA, 96)] * (i > 0)) for i in range(6)]
    assert [len(each.faces) for each in said] == [0, 0, 0, 0, 1, 1]


STILL = replace(RULE, pace=DetectionPace(still_ns=5 * SECOND))


def test_while_nothing_moves_everybody_keeps_track_and_name_for_hardly_any_work(recogniser, people):
    film = Film(recogniser, STILL)
    said = film.stay(at(ADA, 96), at(EVE, 300), seconds=12, frames_per_s=5)
    assert {tuple(sorted(tracks(each))) for each in said} == {("s-1", "s-2")}
    assert {tuple(sorted(names(each), key=str)) for each in said} == {("Ada", None)}
    assert sum(looks(each) for each in said) <= 2 * 3


def test_who_stops_walking_is_shown_where_he_stands(recogniser, people):
    film = Film(recogniser, STILL)
    for i in range(12):
        film.show(at(ADA, 40 + 12 * i))
    for said in film.stay(at(ADA, 40 + 12 * 11), seconds=1):
        assert middles(said) == [pytest.approx((42 + 12 * 11, 98), abs=1)]


def test_a_person_who_is_enrolled_while_nothing_moves_is_named_in_the_next_frame(recogniser, enroller, people):
    film = Film(recogniser, STILL)
    film.stay(at(EVE, 96), seconds=0.4)
    enroller.enrol(request("Eve", photo(EVE)))
    assert names(film.show(at(EVE, 96))) == ["Eve"]


@pytest.mark.parametrize("pace", [DetectionPace(interval=50), DetectionPace(still_ns=5 * SECOND)])
def test_when_a_camera_sends_smaller_pictures_faces_are_where_they_are_in_these(recogniser, people, pace):
    film = Film(recogniser, replace(RULE, pace=pace))
    film.stay(at(ADA, 96), seconds=0.4)
    smaller = EncodedImage(Codec.PNG, png(paint([at(replace(ADA, side=32), 48, 48)], width=240, height=96)))
    said = film.show(image=smaller)
    assert middles(said) == [pytest.approx((50, 50), abs=1)]


def test_who_is_searched_for_more_rarely_than_tracks_are_lost_is_not_lost(recogniser, people):
    film = Film(recogniser, replace(RULE, pace=DetectionPace(interval=30)))
    said = film.stay(at(ADA, 96), seconds=9, frames_per_s=10)
    assert {tuple(tracks(each)) for each in said} == {("s-1",)}
    assert {tuple(names(each)) for each in said} == {("Ada",)}


def test_who_leaves_while_nobody_searches_is_gone_with_the_next_search(recogniser, people):
    film = Film(recogniser, replace(RULE, pace=DetectionPace(interval=5)))
    film.stay(at(ADA, 96), seconds=1)
    said = film.stay(seconds=4)
    assert all(len(each.faces) == 0 for each in said[5:])
    assert film.ended() == ["s-1"]


# ---- whatever is shown

scenes = st.lists(
    st.tuples(
        st.sampled_from([0.001, 0.04, 0.5, 1.5, 2.5]),
        st.lists(
            st.tuples(
                st.sampled_from([somebody(1), somebody(2), person(3), person(4)]),
                st.sampled_from([12, 40, 64, 90]),
                st.integers(20, 460),
                st.integers(20, 170),
            ),
            max_size=4,
        ),
    ),
    min_size=1,
    max_size=10,
)


@given(scenes)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_shown_each_face_has_one_track_nobody_is_twice_there_and_no_track_returns(
    recogniser, people, frames
):
    film, over, begun = Film(recogniser), set(), set()
    for after_s, faces in frames:
        said = film.show(*(PaintedFace(who, side=side, x=x, y=y) for who, side, x, y in faces), after_s=after_s)
        shown = tracks(said)
        assert len(shown) == len(said.faces) == len(set(shown))
        named = [name for name in names(said) if name]
        assert len(named) == len(set(named))
        assert not over & set(shown)
        begun |= set(shown)
        over = set(film.ended())
    film.session.close()
    ended = film.ended()
    assert len(ended) == len(set(ended))
    assert set(ended) <= begun
    assert begun == {f"s-{number}" for number in range(1, len(begun) + 1)}
