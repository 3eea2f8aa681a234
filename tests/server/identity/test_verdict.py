"""Names come at once, are confirmed by a second look, outlive one bad look, and go when the gallery says so."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain import Match, Undecided, UndecidedReason, Unknown, UnknownReason
from server.identity.verdict import Verdict, one_each

STRANGER = Unknown(UnknownReason.TOO_FAR, 1.5, 0.8)


def match(name, distance=0.3):
    return Match(f"tenants/t/galleries/g/identities/{name}", name, distance, 0.8, 0.5)


ADA, BOB = match("ada"), match("bob")
sayings = st.lists(st.sampled_from([ADA, BOB, match("ada", 0.6), STRANGER]), min_size=1, max_size=12)


def verdict_after(*said):
    verdict = Verdict.first(said[0])
    for each in said[1:]:
        verdict = verdict.after(each)
    return verdict


def name_of(verdict):
    return verdict.answer.display_name if isinstance(verdict.answer, Match) else None


def test_a_first_match_names_at_once_and_provisionally():
    verdict = Verdict.first(ADA)
    assert verdict.answer == replace(ADA, provisional=True)
    assert not verdict.settled


def test_a_second_look_that_agrees_confirms_the_name():
    verdict = verdict_after(ADA, match("ada", 0.2))
    assert verdict.answer == match("ada", 0.2)
    assert verdict.settled


def test_a_second_look_that_disagrees_takes_a_provisional_name_away_at_once():
    assert verdict_after(ADA, STRANGER).answer == STRANGER
    assert verdict_after(ADA, BOB).answer == replace(BOB, provisional=True)


@pytest.mark.parametrize("otherwise", [STRANGER, BOB])
def test_a_confirmed_name_outlives_one_look_that_says_otherwise_with_the_distance_it_was_given_for(otherwise):
    assert verdict_after(ADA, ADA, otherwise).answer == ADA


@pytest.mark.parametrize(("first", "second"), [(STRANGER, STRANGER), (BOB, BOB), (STRANGER, BOB), (BOB, STRANGER)])
def test_a_confirmed_name_goes_when_two_looks_in_a_row_say_otherwise_whatever_they_say(first, second):
    verdict = verdict_after(ADA, ADA, first, second)
    assert name_of(verdict) == (None if second is STRANGER else "bob")
    assert not isinstance(verdict.answer, Match) or verdict.answer.provisional


def test_a_look_that_agrees_again_forgets_the_doubt():
    assert name_of(verdict_after(ADA, ADA, STRANGER, ADA, STRANGER)) == "ada"


def test_a_stranger_is_settled_by_a_second_look_and_named_provisionally_when_a_look_matches():
    assert not Verdict.first(STRANGER).settled
    assert verdict_after(STRANGER, STRANGER).settled
    named = verdict_after(STRANGER, STRANGER, ADA)
    assert named.answer == replace(ADA, provisional=True)
    assert not named.settled


@given(sayings)
def test_a_verdict_that_is_shown_as_confirmed_was_said_twice_in_a_row_at_some_time(said):
    verdict = verdict_after(*said)
    assert verdict.looks == len(said)
    if isinstance(verdict.answer, Match) and not verdict.answer.provisional:
        names = [each.display_name if isinstance(each, Match) else None for each in said]
        assert any(a == b == verdict.answer.display_name for a, b in pairwise(names))


@given(sayings)
def test_a_name_that_is_shown_was_said_by_the_last_look_or_the_one_before(said):
    verdict = verdict_after(*said)
    recent = {each.display_name for each in said[-2:] if isinstance(each, Match)}
    assert name_of(verdict) is None or name_of(verdict) in recent


# ---- a gallery that changes


def test_a_person_who_was_deleted_is_gone_at_once_however_confirmed():
    restated = verdict_after(ADA, ADA, ADA).restated(STRANGER)
    assert restated.answer == STRANGER
    assert restated.settled


def test_a_person_who_was_just_enrolled_is_named_at_once_and_for_sure_when_two_looks_were_there():
    assert verdict_after(STRANGER, STRANGER).restated(ADA).answer == ADA
    assert Verdict.first(STRANGER).restated(ADA).answer == replace(ADA, provisional=True)


def test_judging_the_same_looks_again_confirms_nothing():
    verdict = Verdict.first(ADA).restated(ADA).restated(ADA)
    assert verdict.answer == replace(ADA, provisional=True)
    assert verdict.looks == 1


def test_a_confirmed_name_stays_confirmed_with_the_new_distance():
    assert verdict_after(ADA, ADA).restated(match("ada", 0.25)).answer == match("ada", 0.25)


# ---- nobody is in two places

NOT_SURE = Undecided(UndecidedReason.LOW_QUALITY)


def test_of_several_faces_that_match_one_person_the_nearest_keeps_the_name():
    far, near = match("ada", 0.5), match("ada", 0.2)
    ambiguous = Unknown(UnknownReason.AMBIGUOUS, 0.5, 0.8)
    assert one_each([far, BOB, near, STRANGER, NOT_SURE]) == (ambiguous, BOB, near, STRANGER, NOT_SURE)


def test_of_two_faces_that_are_equally_near_only_one_keeps_the_name():
    assert [type(answer) for answer in one_each([ADA, ADA])] == [Match, Unknown]


@given(
    st.lists(
        st.one_of(st.builds(match, st.sampled_from("abc"), st.sampled_from([0.1, 0.2, 0.3])), st.just(STRANGER)),
        max_size=8,
    )
)
def test_everybody_who_is_matched_is_named_exactly_once_and_by_the_least_distance(answers):
    after = one_each(answers)
    assert len(after) == len(answers)
    named = [answer for answer in after if isinstance(answer, Match)]
    matched = [answer for answer in answers if isinstance(answer, Match)]
    assert sorted(answer.identity for answer in named) == sorted({answer.identity for answer in matched})
    for answer in named:
        assert answer.distance == min(each.distance for each in matched if each.identity == answer.identity)
    for before, answer in zip(answers, after, strict=True):
        assert answer is before or (isinstance(before, Match) and answer.reason is UnknownReason.AMBIGUOUS)
