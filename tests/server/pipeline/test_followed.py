"""What is known of a followed face, when it must be judged anew, and when others should hear of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from server.domain import Faces, GalleryName, Look, Match, Quality, Undecided, UndecidedReason, Unknown, UnknownReason
from server.identity.track import TrackRule, start
from server.pipeline.followed import Followed, NobodyWatches, report_of
from tests.painted import person

SECOND = 10**9
RULE = TrackRule(same_person=0.5, other_person=1.0)
BOX = np.asarray([100, 100, 160, 180], np.float32)
GALLERY = GalleryName()
ADA = Match("tenants/default/galleries/default/identities/ada", "Ada", 0.3, 0.8, 0.5)
STRANGER = Unknown(UnknownReason.TOO_FAR, 1.5, 0.8)


def quality(score):
    return Quality(score, 60, 20, 0, 0, 0, 128, 0.9)


def followed():
    """A face that was seen once and not looked at."""
    landmarks = np.asarray([[[120, 125], [140, 125], [130, 140], [122, 160], [138, 160]]], np.float32)
    face = Faces(BOX[None], landmarks, np.ones(1, np.float32))
    return Followed(start(1, BOX, 0), 1000, 1000, np.zeros((40, 40), np.uint8), face, quality(0.5))


def looked(one, number=1, score=0.5, at_ns=0):
    look = Look(np.asarray(person(number), np.float32), score, at_ns)
    return replace(one, track=one.track.looked(look, RULE))


def judged(one, *said, revision=1):
    """After each look, which got this answer."""
    for i, each in enumerate(said):
        one = looked(one, at_ns=i).after_judging(each, revision)
    return one


# ---- who it is


def test_without_a_legible_look_nobody_says_who_it_is():
    illegible = replace(followed(), track=followed().track.tried(0.5, 0))
    assert illegible.answer == Undecided(UndecidedReason.LOW_QUALITY)
    assert followed().answer == Undecided(UndecidedReason.MORE_FRAMES_NEEDED)
    assert followed().who == ""
    assert not followed().needs_judging(5)


def test_a_new_look_and_a_changed_gallery_ask_for_a_judgement_and_nothing_else_does():
    one = looked(followed())
    assert one.needs_judging(1)
    one = one.after_judging(ADA, 1)
    assert not one.needs_judging(1)
    assert one.needs_judging(2)
    assert looked(one, at_ns=1).needs_judging(1)


def test_a_second_look_confirms_and_a_changed_gallery_does_not():
    once = judged(followed(), ADA)
    assert once.after_judging(ADA, 2).answer.provisional
    twice = judged(followed(), ADA, ADA)
    assert twice.answer == ADA
    assert twice.who == ADA.identity


def test_a_changed_gallery_counts_at_once_and_a_single_other_look_does_not():
    confirmed = judged(followed(), ADA, ADA)
    assert confirmed.after_judging(STRANGER, 2).answer == STRANGER
    assert judged(confirmed, STRANGER).answer == ADA


def test_a_changed_gallery_counts_at_once_though_another_look_comes_with_it():
    """Whoever was deleted is gone at once, also when the frame after that has a look which says so too."""
    confirmed = judged(followed(), ADA, ADA)
    after = looked(confirmed, number=2, at_ns=5).after_judging(STRANGER, 2)
    assert after.answer == STRANGER
    assert after.track.verdict.looks == 3
    assert looked(after, at_ns=6).after_judging(ADA, 3).answer == ADA


def test_a_second_look_confirms_though_the_gallery_changed_with_it():
    assert looked(judged(followed(), ADA), at_ns=5).after_judging(ADA, 2).answer == ADA


def test_a_stranger_wears_a_group_and_a_named_person_none():
    stranger = replace(judged(followed(), STRANGER, STRANGER), group="groups/7")
    assert stranger.answer.group == "groups/7"
    assert stranger.who == ""
    assert replace(judged(followed(), ADA, ADA), group="groups/7").answer == ADA


# ---- what is news


@pytest.mark.parametrize("said", [ADA, STRANGER])
def test_a_face_is_news_once_two_looks_were_judged_until_others_were_told(said):
    assert not followed().is_news()
    assert not judged(followed(), said).is_news()
    settled = judged(followed(), said, said)
    assert settled.is_news()
    assert not settled.after_telling("").is_news()


def test_a_grown_template_and_another_answer_are_news_again():
    told = judged(followed(), STRANGER, STRANGER).after_telling("groups/7")
    assert told.group == "groups/7"
    assert judged(told, STRANGER).is_news()
    assert told.after_judging(ADA, 2).is_news()
    assert not told.after_judging(STRANGER, 2).is_news()
    assert not told.stood(50 * SECOND, 1000 + 59 * SECOND).is_news()
    minute = told.stood(60 * SECOND, 1000 + 60 * SECOND)
    assert minute.is_news()
    assert not minute.after_telling("groups/7").is_news()


def test_the_next_frame_remembers_what_was_known():
    before = judged(followed(), STRANGER, STRANGER).with_look(np.zeros((32, 32, 3), np.uint8), quality(0.7))
    before = before.after_telling("groups/7")
    after = replace(followed(), track=before.track).remembering(before)
    assert (after.best, after.judged, after.revision) == (before.best, before.judged, before.revision)
    assert (after.group, after.told) == (before.group, before.told)


# ---- where it is


def walked(velocity, seconds=2.0):
    track = start(1, BOX, 0)
    for i in range(1, round(seconds * 25) + 1):
        step = np.asarray([*velocity, *velocity], np.float32) * (i / 25)
        track = track.seen(BOX + step, i * SECOND // 25)
    shift = (np.asarray(velocity) * seconds).astype(np.float32)
    face = followed().face
    moved = Faces(face.boxes + np.tile(shift, 2), face.landmarks + shift, face.scores)
    return replace(followed(), track=track, face=moved)


def test_a_coasting_face_moves_with_its_landmarks_as_its_motion_says():
    one = walked((50.0, -20.0))
    at_ns = one.track.seen_ns + SECOND // 5
    coasted = one.coasted(at_ns)
    np.testing.assert_allclose(coasted.face.boxes[0], one.track.motion.predicted(at_ns), atol=1e-3)
    shift = coasted.face.boxes[0, :2] - one.face.boxes[0, :2]
    assert shift[0] == pytest.approx(50 * 0.5 * (1 - np.exp(-0.2 / 0.5)), rel=0.02)
    np.testing.assert_allclose(coasted.face.landmarks, one.face.landmarks + shift, atol=0.05)
    assert coasted.face.landmarks.dtype == np.float32


def test_a_face_that_coasts_nearer_has_its_landmarks_at_the_same_shares_of_its_box():
    track = followed().track
    for i in range(1, 51):
        half = np.asarray([30, 40]) * np.exp(0.4 * i / 25)
        box = np.asarray([130, 140, 130, 140]) + np.concatenate([-half, half])
        track = track.seen(box.astype(np.float32), i * SECOND // 25)
    one = replace(followed(), track=track)
    coasted = one.coasted(track.seen_ns + SECOND // 10)

    def shares(face):
        corner, size = face.boxes[0, :2], face.boxes[0, 2:] - face.boxes[0, :2]
        return (face.landmarks[0] - corner) / size

    np.testing.assert_allclose(shares(coasted.face), shares(one.face), atol=1e-4)


def test_a_face_that_stood_still_coasts_nowhere_and_was_seen_one_frame_more():
    one = walked((50.0, 0.0)).stood(3 * SECOND, 4000)
    assert (one.track.seen_ns, one.seen_wall_ns) == (3 * SECOND, 4000)
    assert one.track.frames == walked((50.0, 0.0)).track.frames + 1
    np.testing.assert_allclose(one.coasted(4 * SECOND).face.boxes, one.face.boxes, atol=1e-3)


# ---- what others are told


def crop(level):
    return np.full((32, 32, 3), level, np.uint8)


def test_the_best_look_is_kept_with_the_time_of_its_frame():
    one = followed().with_look(crop(1), quality(0.5))
    one = replace(one, seen_wall_ns=2000).with_look(crop(2), quality(0.8))
    one = replace(one, seen_wall_ns=3000).with_look(crop(3), quality(0.8))
    assert (one.best.pixels[0, 0, 0], one.best.quality.score, one.best.taken_at_ns) == (2, 0.8, 2000)


def test_a_report_says_what_is_known():
    one = replace(judged(followed(), ADA, ADA).with_look(crop(1), quality(0.5)), seen_wall_ns=5000)
    report = report_of(one, gallery=GALLERY, camera="door", name="s-1", ended=True)
    assert (report.gallery, report.camera, report.track, report.ended) == (GALLERY, "door", "s-1", True)
    assert (report.first_seen_ns, report.last_seen_ns, report.frames) == (1000, 5000, 1)
    assert (report.answer, report.best) == (ADA, one.best)
    np.testing.assert_allclose(report.template, person(1), atol=1e-6)


@pytest.mark.parametrize("one", [followed(), looked(followed()), judged(followed(), ADA)])
def test_nothing_is_reported_of_a_face_that_has_no_name_no_template_or_no_picture(one):
    assert report_of(one, gallery=GALLERY, camera="door", name="s-1", ended=True) is None


def test_who_watches_nothing_puts_nobody_into_a_group():
    one = judged(followed(), STRANGER, STRANGER).with_look(crop(1), quality(0.5))
    report = report_of(one, gallery=GALLERY, camera="door", name="s-1", ended=False)
    nobody = NobodyWatches()
    assert nobody.observe(report) == nobody.group_of(GALLERY, "s-1") == ""
    assert nobody.groups_revision == 0
