"""When a face that is followed is worth an embedding, and what its track keeps of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from server.domain import Faces, Look, Match, Unknown, UnknownReason
from server.identity.associate import Pair
from server.identity.track import LookReason, TrackRule, likeness_wanted, look_reason, pairs_of, resembling, start
from server.identity.verdict import Verdict
from tests.server.identity.crowd import unit

SECOND = 10**9
RULE = TrackRule(same_person=0.5, other_person=1.0)
BOX = np.asarray([100, 100, 160, 180], np.float32)
STRANGER = Unknown(UnknownReason.TOO_FAR, 1.5, 0.8)
ADA = Match("tenants/t/galleries/g/identities/ada", "Ada", 0.3, 0.8, None)
(EMBEDDING,) = unit(1, 1)


def seconds(value):
    return round(value * SECOND)


def tried(score=0.5, *, looked=True, verdict=None, at_s=0.0):
    """A track from time 0 whose last close look was then and there."""
    track = start(1, BOX, 0).tried(score, seconds(at_s))
    if looked:
        track = track.looked(Look(EMBEDDING, score, seconds(at_s)), RULE)
    return replace(track, verdict=verdict)


def reason_at(track, at_s, score=0.5):
    return look_reason(track, score, seconds(at_s), RULE)


SETTLED = Verdict.first(STRANGER).after(STRANGER)


def test_a_face_that_was_never_looked_at_is_looked_at():
    assert reason_at(start(1, BOX, 0), 0) is LookReason.NEW


def test_an_illegible_face_is_tried_again_after_a_moment_and_not_in_every_frame():
    track = tried(looked=False)
    assert reason_at(track, 0.04) is None
    assert reason_at(track, RULE.retry_s) is LookReason.RETRY


def test_a_first_look_is_confirmed_after_a_moment():
    track = tried(verdict=Verdict.first(ADA))
    assert reason_at(track, 0.04) is None
    assert reason_at(track, RULE.confirm_s) is LookReason.CONFIRM


NAMED = Verdict.first(ADA).after(ADA)


def test_a_stranger_is_looked_at_more_often_until_the_template_is_full():
    track = tried(verdict=SETTLED)
    assert reason_at(track, 2 * RULE.confirm_s - 0.01) is None
    assert reason_at(track, 2 * RULE.confirm_s) is LookReason.REFRESH
    for number in range(RULE.looks):
        track = track.looked(Look(EMBEDDING, 0.5, number), RULE)
    assert reason_at(track, 2 * RULE.confirm_s) is None
    assert reason_at(track, RULE.refresh_s) is LookReason.REFRESH


def test_a_look_that_is_had_with_others_may_come_a_little_early():
    track = tried(verdict=NAMED)
    early_s = RULE.refresh_s * RULE.joined
    assert look_reason(track, 0.5, seconds(early_s), RULE) is None
    assert look_reason(track, 0.5, seconds(early_s), RULE, patience=RULE.joined) is LookReason.REFRESH


def test_a_settled_face_is_refreshed_more_and_more_rarely_the_longer_it_is_there():
    for last_look_s, wait_s in ((1, 1), (10, 2), (30, 4)):
        track = tried(verdict=NAMED, at_s=last_look_s)
        assert reason_at(track, last_look_s + wait_s * 0.9) is None
        assert reason_at(track, last_look_s + wait_s) is LookReason.REFRESH


@pytest.mark.parametrize("verdict", [SETTLED, Verdict.first(STRANGER)])
def test_a_face_that_is_clearly_better_than_the_best_look_is_looked_at_at_once(verdict):
    track = tried(score=0.5, verdict=verdict)
    assert reason_at(track, 0.01, score=0.5 + RULE.better) is LookReason.BETTER
    assert reason_at(track, 0.01, score=0.5 + RULE.better - 0.01) is None


def test_after_a_look_that_contradicts_the_track_the_next_frame_decides():
    track = replace(tried(verdict=SETTLED), estranged=1)
    assert reason_at(track, 0.01) is LookReason.DOUBTFUL


def test_a_bad_look_doesn_t_make_the_next_average_one_look_better():
    track = tried(score=0.6, verdict=SETTLED).tried(0.1, seconds(0.1))
    assert reason_at(track, 0.2, score=0.7) is None


STEADY, SURE = RULE.steady_likeness, RULE.sure_likeness


@pytest.mark.parametrize(
    ("overlap", "gap_s", "shot_s", "wanted"),
    [
        (RULE.min_overlap, 0.04, 0.0, STEADY),
        (RULE.min_overlap, RULE.steady_s, 0.0, STEADY),
        (RULE.min_overlap - 0.01, 0.04, 0.0, SURE),
        (0.0, 0.04, 0.0, SURE),
        (0.9, RULE.steady_s + 0.01, 0.0, SURE),
        (0.9, 0.04, 0.04, SURE),
        (0.9, RULE.blind_s, 0.0, SURE),
        (0.9, RULE.blind_s + 0.01, 0.0, None),
    ],
)
def test_a_face_elsewhere_or_after_a_cut_or_gap_must_look_more_alike_and_after_long_an_embedding_decides(
    overlap, gap_s, shot_s, wanted
):
    pair, track = Pair(0, 0, overlap), start(1, BOX, 0)
    assert likeness_wanted(track, pair, seconds(gap_s), seconds(shot_s), RULE) == wanted


def test_a_track_counts_its_frames_and_knows_when_it_was_last_seen():
    track = start(3, BOX, 5).seen(BOX, 10).seen(BOX, 15)
    assert (track.number, track.started_ns, track.frames, track.seen_ns) == (3, 5, 3, 15)


def test_a_look_of_this_face_ends_its_estrangement_and_enters_the_template():
    look = Look(EMBEDDING, 0.5, 0)
    track = replace(start(1, BOX, 0), estranged=1).looked(look, RULE)
    assert track.estranged == 0
    assert track.template.holds(look)


def test_a_template_keeps_as_many_looks_as_the_rule_says():
    track = start(1, BOX, 0)
    for i, embedding in enumerate(unit(9, 2)):
        track = track.looked(Look(embedding, 0.5, i), RULE)
    assert len(track.template.looks) == RULE.looks


def test_walking_faces_are_paired_with_where_their_motion_takes_them():
    # two faces walk towards each other and are past the middle in the next frame: the boxes alone would swap them
    def box(x):
        return np.asarray([x, 100, x + 60, 180], np.float32)

    left, right = start(1, box(0), 0), start(2, box(300), 0)
    for i in range(1, 11):
        left, right = left.seen(box(14 * i), i * SECOND // 10), right.seen(box(300 - 14 * i), i * SECOND // 10)
    landmarks = np.zeros((2, 5, 2), np.float32)
    faces = Faces(np.stack([box(300 - 14 * 11), box(14 * 11)]), landmarks, np.ones(2, np.float32))
    pairs = pairs_of([left, right], faces, 11 * SECOND // 10)
    assert {(pair.track, pair.face) for pair in pairs} == {(0, 1), (1, 0)}


def test_without_tracks_or_faces_nothing_is_paired():
    assert pairs_of([], Faces.none(), 0) == ()
    assert pairs_of([start(1, BOX, 0)], Faces.none(), 0) == ()


def test_the_track_that_resembles_an_embedding_is_the_nearest_within_the_strict_distance():
    people = unit(6, 3)
    tracks = [start(i, BOX, 0).looked(Look(person, 0.5, 0), RULE) for i, person in enumerate(people)]
    tracks.append(start(9, BOX, 0))
    for seed in range(30):
        (probe,) = unit(1, 100 + seed)
        probe = people[seed % 6] * 2.5 + probe
        probe = (probe / np.linalg.norm(probe)).astype(np.float32)
        distances = [float(np.sum((person - probe) ** 2)) for person in people]
        found = resembling(tracks, probe, RULE)
        if min(distances) <= RULE.same_person:
            assert found is tracks[int(np.argmin(distances))]
        else:
            assert found is None


def test_nothing_resembles_where_no_track_was_legible():
    assert resembling([start(1, BOX, 0)], EMBEDDING, RULE) is None
    assert resembling([], EMBEDDING, RULE) is None
