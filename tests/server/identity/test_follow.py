"""One frame's faces become tracks: the certain ones go on, the doubtful ones ask a look, and nobody is two people."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain import Faces, Look, Unknown, UnknownReason
from server.identity.follow import Claim, Sight, claims_of, joined, settle
from server.identity.track import LookReason, TrackRule, start
from server.identity.verdict import Verdict
from tests.server.identity.crowd import DIMENSION, unit

SECOND = 10**9
RULE = TrackRule(same_person=0.5, other_person=1.0)
ADA, BOB, EVE = np.eye(3, DIMENSION, dtype=np.float32)
SETTLED = Verdict.first(Unknown(UnknownReason.TOO_FAR, 1.5, 0.8)).after(Unknown(UnknownReason.TOO_FAR, 1.5, 0.8))


def box(x, side=60):
    return [x, 100, x + side, 100 + side]


def sight(*boxes, at_ns=SECOND, shot_ns=0, score=0.5):
    corners = np.asarray(boxes, np.float32).reshape(-1, 4)
    faces = Faces(corners, np.zeros((len(boxes), 5, 2), np.float32), np.ones(len(boxes), np.float32))
    return Sight(faces, (score,) * len(boxes), at_ns, shot_ns)


def track(number, x, embedding=None, *, at_ns=SECOND - SECOND // 25, estranged=0):
    """A face that stands still and is settled; not yet legible when there is no embedding."""
    one = start(number, np.asarray(box(x), np.float32), at_ns).tried(0.5, at_ns)
    if embedding is not None:
        one = replace(one.looked(Look(embedding, 0.5, at_ns), RULE), verdict=SETTLED)
    return replace(one, estranged=estranged)


def look(embedding):
    return Look(np.asarray(embedding, np.float32), 0.5, SECOND)


def mixed(first, second, distance):
    """An embedding at this squared distance from the first."""
    near = 1 - distance / 2
    return (near * first + (1 - near**2) ** 0.5 * second).astype(np.float32)


def settled_numbers(claims, tracks, seen, looks=None, next_number=10):
    settled = settle(claims, tracks, seen, looks or {}, next_number, RULE)
    return [each.number for each in settled.tracks]


CERTAIN = Claim(0, certain=True, reason=None)
DOUBTFUL = Claim(0, certain=False, reason=LookReason.DOUBTFUL)
NEW = Claim(None, certain=False, reason=LookReason.NEW)


# ---- claims


def test_a_face_that_overlaps_and_looks_alike_is_certain_and_needs_no_look():
    claims = claims_of([track(1, 100, ADA)], sight(box(104)), lambda t, f, bar: bar <= 0.9, RULE)
    assert claims == (CERTAIN,)


def test_a_face_at_the_same_place_that_looks_different_is_doubtful():
    claims = claims_of([track(1, 100, ADA)], sight(box(100)), lambda t, f, bar: bar <= 0.3, RULE)
    assert claims == (DOUBTFUL,)


def test_a_face_far_from_every_track_is_new():
    assert claims_of([track(1, 100, ADA)], sight(box(600)), lambda t, f, bar: True, RULE) == (NEW,)


def test_likeness_is_asked_for_the_indices_of_the_pair_only():
    asked = []
    tracks = [track(1, 100), track(2, 400)]
    claims_of(tracks, sight(box(400), box(100)), lambda t, f, bar: asked.append((t, f)) or True, RULE)
    assert sorted(asked) == [(0, 1), (1, 0)]


def test_a_face_that_moved_far_is_certain_only_when_it_looks_very_much_alike():
    tracks, moved = [track(1, 100, ADA)], sight(box(150))
    assert claims_of(tracks, moved, lambda t, f, bar: bar <= 0.79, RULE) == (DOUBTFUL,)
    assert claims_of(tracks, moved, lambda t, f, bar: bar <= 0.8, RULE) == (CERTAIN,)


def test_after_a_cut_a_face_at_the_same_place_must_look_very_much_alike():
    tracks = [track(1, 100, ADA)]
    assert claims_of(tracks, sight(box(100)), lambda t, f, bar: bar <= 0.79, RULE) == (CERTAIN,)
    assert claims_of(tracks, sight(box(100), shot_ns=SECOND), lambda t, f, bar: bar <= 0.79, RULE) == (DOUBTFUL,)


def test_likeness_is_not_asked_for_a_face_that_was_long_out_of_sight():
    def never(_track, _face, _bar):
        raise AssertionError

    long_ago = track(1, 100, ADA, at_ns=SECOND - round(1.01 * RULE.blind_s * SECOND))
    assert claims_of([long_ago], sight(box(100)), never, RULE) == (DOUBTFUL,)


# ---- looks that are had together


def test_looks_that_are_due_soon_are_had_with_those_of_others_and_later_ones_are_not():
    wait_s = 2 * RULE.confirm_s  # of a settled stranger whose template is not full yet
    soon, later = (SECOND - round(ago * SECOND) for ago in (wait_s * RULE.joined, wait_s * RULE.joined - 0.05))
    tracks = [track(1, 100, ADA, at_ns=soon), track(2, 400, BOB, at_ns=later)]
    claims = [Claim(0, certain=True, reason=None), Claim(1, certain=True, reason=None), NEW]
    after = joined(claims, tracks, sight(box(100), box(400), box(700)), RULE)
    assert [claim.reason for claim in after] == [LookReason.REFRESH, None, LookReason.NEW]
    assert [(claim.track, claim.certain) for claim in after] == [(0, True), (1, True), (None, False)]


def test_only_faces_of_which_nothing_can_be_said_before_are_urgent():
    assert {reason for reason in LookReason if reason.urgent} == {LookReason.NEW, LookReason.DOUBTFUL}


# ---- what looks decide


def test_a_certain_face_goes_on_without_a_look():
    (after,) = settle([CERTAIN], [track(1, 100, ADA)], sight(box(110)), {}, 10, RULE).tracks
    assert (after.number, after.frames, after.seen_ns) == (1, 2, SECOND)
    np.testing.assert_array_equal(after.motion.centre, [140, 130])


def test_a_certain_face_with_a_look_that_agrees_learns_from_it():
    seen = look(mixed(ADA, BOB, 0.8))
    (after,) = settle([CERTAIN], [track(1, 100, ADA)], sight(box(100)), {0: seen}, 10, RULE).tracks
    assert after.number == 1
    assert after.template.holds(seen)


def test_a_certain_face_survives_one_look_that_does_not_resemble_it_and_does_not_learn_from_it():
    blurred = look(mixed(ADA, BOB, 1.2))
    (after,) = settle([CERTAIN], [track(1, 100, ADA)], sight(box(100)), {0: blurred}, 10, RULE).tracks
    assert (after.number, after.estranged) == (1, 1)
    assert not after.template.holds(blurred)


def test_a_second_look_in_a_row_that_does_not_resemble_it_begins_another_track():
    claims, tracks = [CERTAIN], [track(1, 100, ADA, estranged=1)]
    settled = settle(claims, tracks, sight(box(100)), {0: look(BOB)}, 10, RULE)
    (after,) = settled.tracks
    assert (after.number, after.frames, settled.next_number) == (10, 1, 11)
    assert after.template.distance(BOB) < 1e-6
    assert after.verdict is None


def test_a_doubtful_face_goes_on_when_a_look_is_of_the_same_person():
    assert settled_numbers([DOUBTFUL], [track(1, 100, ADA)], sight(box(150)), {0: look(mixed(ADA, BOB, 0.45))}) == [1]


@pytest.mark.parametrize("distance", [0.55, 1.9])
def test_a_doubtful_face_begins_a_track_when_a_look_is_not_surely_of_the_same_person(distance):
    looks = {0: look(mixed(ADA, BOB, distance))}
    assert settled_numbers([DOUBTFUL], [track(1, 100, ADA)], sight(box(150)), looks) == [10]


def test_a_doubtful_face_that_is_illegible_takes_no_name_with_it():
    assert settled_numbers([DOUBTFUL], [track(1, 100, ADA)], sight(box(150))) == [10]


def test_a_track_that_never_was_legible_has_nothing_to_lose():
    assert settled_numbers([DOUBTFUL], [track(1, 100)], sight(box(150))) == [1]
    (after,) = settle([DOUBTFUL], [track(1, 100)], sight(box(150)), {0: look(ADA)}, 10, RULE).tracks
    assert after.template.distance(ADA) < 1e-6


def test_somebody_who_comes_back_elsewhere_is_found_again():
    assert settled_numbers([NEW], [track(1, 100, ADA)], sight(box(600)), {0: look(mixed(ADA, BOB, 0.3))}) == [1]


def test_a_track_without_a_look_goes_back_to_the_lost_one_that_its_first_look_resembles():
    tracks = [track(1, 100), track(2, 500, ADA)]
    for claim in (CERTAIN, DOUBTFUL):
        assert settled_numbers([claim], tracks, sight(box(110)), {0: look(mixed(ADA, BOB, 0.3))}) == [2]
        assert settled_numbers([claim], tracks, sight(box(110)), {0: look(BOB)}) == [1]


def test_a_track_without_a_look_never_takes_the_track_of_a_face_that_is_there():
    tracks = [track(1, 100), track(2, 500, ADA)]
    claims = [CERTAIN, Claim(1, certain=True, reason=None)]
    assert settled_numbers(claims, tracks, sight(box(110), box(500)), {0: look(ADA)}) == [1, 2]


def test_two_who_changed_places_between_two_frames_are_told_apart():
    claims = [Claim(0, certain=False, reason=LookReason.DOUBTFUL), Claim(1, certain=False, reason=LookReason.DOUBTFUL)]
    tracks = [track(1, 100, ADA), track(2, 400, BOB)]
    assert settled_numbers(claims, tracks, sight(box(100), box(400)), {0: look(BOB), 1: look(ADA)}) == [2, 1]


def test_a_track_that_a_certain_face_continues_is_not_given_to_a_look_alike():
    tracks = [track(1, 100, ADA)]
    assert settled_numbers([NEW, CERTAIN], tracks, sight(box(600), box(100)), {0: look(ADA)}) == [10, 1]


def test_two_new_faces_that_resemble_one_lost_track_do_not_share_it():
    tracks = [track(1, 900, ADA)]
    assert settled_numbers([NEW, NEW], tracks, sight(box(100), box(400)), {0: look(ADA), 1: look(ADA)}) == [1, 10]


def test_a_frame_without_faces_settles_nothing():
    settled = settle([], [track(1, 100, ADA)], sight(), {}, 10, RULE)
    assert (settled.tracks, settled.next_number) == ((), 10)


# ---- whatever comes


@st.composite
def scripts(draw):
    """Frames of some boxes, who each shows (-1: illegible), and how alike all of them look to the frame before."""
    frames = []
    for _ in range(draw(st.integers(1, 12))):
        faces = draw(
            st.lists(
                st.tuples(st.integers(0, 300), st.integers(0, 200), st.integers(1, 120), st.integers(-1, 3)), max_size=6
            )
        )
        frames.append((draw(st.sampled_from([0, 1, 40, 300, 900, 3000])), draw(st.sampled_from([0.2, 0.7])), faces))
    return frames


PEOPLE = unit(4, 5)


@given(scripts())
@settings(max_examples=150)
def test_whatever_boxes_come_each_face_has_one_track_no_track_two_faces_and_no_number_returns(frames):
    known, gone, next_number, now = {}, set(), 1, 0
    for gap_ms, alike, faces in frames:
        now += gap_ms * 10**6
        for number in [n for n, each in known.items() if now - each.seen_ns > RULE.lost_s * SECOND]:
            gone.add(number)
            del known[number]
        tracks, before = list(known.values()), next_number
        seen = sight(*([x, y, x + side, y + side] for x, y, side, _ in faces), at_ns=now)
        claims = claims_of(tracks, seen, lambda t, f, bar, alike=alike: alike >= bar, RULE)
        looks = {
            i: Look(PEOPLE[who], 0.5, now)
            for i, (*_, who) in enumerate(faces)
            if who >= 0 and claims[i].reason is not None
        }
        settled = settle(claims, tracks, seen, looks, next_number, RULE)
        numbers = [each.number for each in settled.tracks]
        assert len(numbers) == len(faces)
        assert len(set(numbers)) == len(numbers)
        begun = [number for number in numbers if number >= before]
        assert sorted(begun) == list(range(before, settled.next_number))
        assert all(number in known for number in numbers if number < before)
        assert not gone & set(numbers)
        for each, corners in zip(settled.tracks, seen.faces.boxes.astype(np.float64), strict=True):
            np.testing.assert_allclose(each.motion.centre, (corners[:2] + corners[2:]) / 2)
        known |= {each.number: each for each in settled.tracks}
        next_number = settled.next_number
