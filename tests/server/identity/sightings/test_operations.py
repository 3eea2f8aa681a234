"""What admins say of unknown groups, and what becomes of the past."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from server.domain import GalleryName, IdentityName, Match, OperationName, SightingName, Unknown, UnknownName
from server.errors import ConflictError, InvalidInputError, NotFoundError
from server.identity.group_commit import Outcome
from server.identity.records import NewTemplate, RequestStamp
from server.identity.regrouping import Regrouping
from server.identity.sightings import reads
from server.identity.sightings.book import Sightings
from server.identity.sightings.clustering import Clusterings, Place
from server.identity.sightings.orders import Order
from server.identity.sightings.records import OperationKind, SightingFilter, UnknownState
from tests.server.identity.crowd import DIMENSION, FINGERPRINT, GALLERY, QUALITY, enrol
from tests.server.identity.sightings.passers import SETTINGS, Passers, face_of, rule_of

NOW = Order(at_ns=5)


def listed(sightings, **wanted):
    """Sightings, the oldest first."""
    return sightings.list_page(GALLERY, SightingFilter(**wanted)).sightings[::-1]


def shown(sightings):
    """Display names, the oldest sighting first."""
    return [seen.person.display_name for seen in listed(sightings)]


def groups(sightings, *states):
    return sightings.unknowns_page(GALLERY, states).unknowns


def only_group(sightings):
    (group,) = groups(sightings)
    return UnknownName.parse(group.name)


def group_of(sightings, number):
    """The group of the sighting with this number, counted from 0."""
    return UnknownName.parse(listed(sightings)[number].person.unknown)


def people(galleries):
    return {i.display_name: i for i in galleries.list_page(GALLERY).identities}


@pytest.fixture
def two_strangers(hall):
    """Person 1 and person 2, three sightings each by turns: 1 2 1 2 1 2."""
    for _ in range(3):
        hall.passes(1)
        hall.passes(2)


# ---- naming


def test_a_group_that_is_named_becomes_a_person_whom_the_past_shows(hall, galleries, sightings, two_strangers):
    group = group_of(sightings, 0)
    receipt = sightings.name(group, display_name="Ada", order=NOW)
    assert shown(sightings) == ["Ada", "", "Ada", "", "Ada", ""]
    assert {seen.person.identity for seen in listed(sightings)} == {receipt.identity, ""}
    ada = people(galleries)["Ada"]
    assert (ada.name, ada.template_count) == (receipt.identity, receipt.template_count)
    assert receipt.template_count == 3
    assert receipt.revision == galleries.statistics(GALLERY).revision
    (named,) = groups(sightings, UnknownState.NAMED)
    assert (named.name, named.identity, named.display_name, named.sighting_count) == (str(group), ada.name, "Ada", 3)
    assert len(groups(sightings)) == 1


def test_a_person_who_was_named_is_recognised_from_then_on(hall, galleries, sightings, two_strangers):
    assert isinstance(hall.answer(face_of(1, 500)), Unknown)
    receipt = sightings.name(group_of(sightings, 0), display_name="Ada", order=NOW)
    answer = hall.answer(face_of(1, 500))
    assert isinstance(answer, Match)
    assert answer.identity == receipt.identity
    hall.passes(1)
    assert shown(sightings)[-1] == "Ada"


def test_whoever_was_named_after_looks_that_differ_is_as_far_as_one_look_would_be(hall, galleries, sightings):
    for number in range(3):
        hall.passes(1, look=number, coherence=0.64)
    receipt = sightings.name(only_group(sightings), display_name="Ada", order=NOW)
    probe = face_of(1, 500)
    nearest = min(float(np.sum((face_of(1, number) - probe) ** 2)) for number in range(3))
    assert hall.answer(probe).distance == pytest.approx(nearest + (2 - nearest) * 0.2, abs=1e-5)
    sightings.undo(OperationName.parse(receipt.operation), order=NOW)
    sightings.name(only_group(sightings), display_name="Ada", order=NOW)
    assert hall.answer(probe).distance == pytest.approx(nearest + (2 - nearest) * 0.2, abs=1e-5)


def test_a_group_is_added_to_a_person_who_is_enrolled(hall, galleries, sightings, two_strangers):
    bob = enrol(galleries, "Bob", face_of(9, 0)[None]).identity
    receipt = sightings.name(group_of(sightings, 1), identity=IdentityName.parse(bob.name), order=NOW)
    assert shown(sightings) == ["", "Bob", "", "Bob", "", "Bob"]
    assert (receipt.identity, people(galleries)["Bob"].template_count) == (bob.name, 4)


def test_poor_faces_do_not_become_templates_beside_good_ones(hall, sightings):
    for quality in (replace(QUALITY, score=0.25), replace(QUALITY, score=0.25), QUALITY):
        hall.passes(1, quality=quality)
    assert sightings.name(only_group(sightings), display_name="Ada", order=NOW).template_count == 1


def test_a_person_who_was_only_seen_poorly_is_recognised_by_the_best_look(hall, galleries, sightings):
    for score, look in ((0.22, 1), (0.28, 2), (0.25, 3)):
        hall.passes(1, quality=replace(QUALITY, score=score), look=look)
    receipt = sightings.name(only_group(sightings), display_name="Ada", order=NOW)
    assert receipt.template_count == people(galleries)["Ada"].template_count == 1
    assert hall.answer(face_of(1, 2)).distance == pytest.approx(0, abs=1e-6)


def test_poor_faces_can_be_added_to_a_person_and_the_past_follows(hall, galleries, sightings):
    for _ in range(2):
        hall.passes(1, quality=replace(QUALITY, score=0.25))
    bob = enrol(galleries, "Bob", face_of(9, 0)[None]).identity
    receipt = sightings.name(only_group(sightings), identity=IdentityName.parse(bob.name), order=NOW)
    assert receipt.template_count == 0
    assert shown(sightings) == ["Bob", "Bob"]
    assert receipt.revision == galleries.statistics(GALLERY).revision


def test_templates_are_diverse(hall, galleries, sightings):
    for look in (1, 1, 1, 1, 2, 3):
        hall.passes(1, look=look)
    receipt = sightings.name(only_group(sightings), display_name="Ada", order=NOW)
    assert receipt.template_count == 3


def test_a_group_has_one_name(sightings, two_strangers):
    group = group_of(sightings, 0)
    sightings.name(group, display_name="Ada", order=NOW)
    for again in (
        lambda: sightings.name(group, display_name="Bob", order=NOW),
        lambda: sightings.merge([group, group_of(sightings, 1)], order=NOW),
        lambda: sightings.ignore(group, order=NOW),
        lambda: sightings.delete(group, order=NOW),
    ):
        with pytest.raises(ConflictError) as refused:
            again()
        assert refused.value.reason == "UNKNOWN_NAMED"


def test_naming_undone_takes_the_person_away_and_the_faces_are_unknown_again(hall, galleries, sightings, two_strangers):
    group = group_of(sightings, 0)
    receipt = sightings.name(group, display_name="Ada", order=NOW)
    hall.passes(1)
    sightings.undo(OperationName.parse(receipt.operation), order=NOW)
    assert not people(galleries)
    assert isinstance(hall.answer(face_of(1, 500)), Unknown)
    assert {seen.person.identity for seen in listed(sightings)} == {""}
    assert sightings.unknown(group).sighting_count == 4
    hall.passes(1)
    assert group_of(sightings, -1) == group


def test_naming_as_somebody_enrolled_undone_leaves_that_person_as_before(hall, galleries, sightings, two_strangers):
    bob = enrol(galleries, "Bob", face_of(9, 0)[None]).identity
    sightings.name(group_of(sightings, 1), identity=IdentityName.parse(bob.name), order=NOW)
    hall.passes(9)
    sightings.undo(GALLERY, order=NOW)
    assert people(galleries)["Bob"].template_count == 1
    assert shown(sightings) == ["", "", "", "", "", "", "Bob"]


def test_a_person_who_got_more_photos_since_stays_when_the_naming_is_undone(hall, galleries, sightings, two_strangers):
    receipt = sightings.name(group_of(sightings, 0), display_name="Ada", order=NOW)
    galleries.enrol(
        GALLERY,
        identity=IdentityName.parse(receipt.identity),
        display_name="",
        templates=[NewTemplate(face_of(1, 900), QUALITY)],
        at_ns=6,
    )
    sightings.undo(OperationName.parse(receipt.operation), order=NOW)
    assert people(galleries)["Ada"].template_count == 1
    assert shown(sightings) == [""] * 6


# ---- merging and splitting


def test_groups_that_are_merged_are_one_and_every_name_leads_to_it(hall, sightings, two_strangers):
    first, second = group_of(sightings, 0), group_of(sightings, 1)
    receipt = sightings.merge([second, first], order=NOW)
    assert receipt.unknown == str(first)
    assert sightings.unknown(second) == sightings.unknown(first)
    assert sightings.unknown(first).sighting_count == 6
    assert len(listed(sightings, unknown=str(second))) == 6


def test_merging_undone_gives_both_groups_back(hall, sightings, two_strangers):
    first, second = group_of(sightings, 0), group_of(sightings, 1)
    receipt = sightings.merge([first, second], order=NOW)
    sightings.undo(OperationName.parse(receipt.operation), order=NOW)
    assert [sightings.unknown(g).sighting_count for g in (first, second)] == [3, 3]
    assert [seen.person.unknown for seen in listed(sightings)] == [str(first), str(second)] * 3
    hall.passes(2)
    assert group_of(sightings, -1) == second


def test_merging_needs_two_different_groups_of_one_gallery(sightings, two_strangers):
    first = group_of(sightings, 0)
    elsewhere = UnknownName(GalleryName("acme", "vip"), "x")
    for names, reason in (
        ([first], "GROUPS_MISSING"),
        ([first, first], "GROUPS_MISSING"),
        ([first, elsewhere], "GALLERY_MISMATCH"),
    ):
        with pytest.raises(InvalidInputError) as refused:
            sightings.merge(names, order=NOW)
        assert refused.value.reason == reason
    with pytest.raises(NotFoundError):
        sightings.merge([first, UnknownName(GALLERY, "nobody")], order=NOW)


def test_sightings_that_are_split_off_are_a_group_of_their_own(sightings, two_strangers):
    first, second = group_of(sightings, 0), group_of(sightings, 1)
    sightings.merge([first, second], order=NOW)
    leaving = [SightingName.parse(listed(sightings)[number].name) for number in (1, 3, 5)]
    receipt = sightings.split(first, leaving, order=NOW)
    assert [seen.person.unknown for seen in listed(sightings)] == [str(first), receipt.other] * 3


def test_a_split_without_sightings_finds_the_two_people(sightings, two_strangers):
    first, second = group_of(sightings, 0), group_of(sightings, 1)
    sightings.merge([first, second], order=NOW)
    receipt = sightings.split(first, order=NOW)
    owners = [seen.person.unknown for seen in listed(sightings)]
    assert len(set(owners[::2])) == len(set(owners[1::2])) == 1
    assert set(owners) == {str(first), receipt.other}


def test_a_split_undone_is_one_group_again_with_whoever_came_since(hall, sightings, two_strangers):
    first, second = group_of(sightings, 0), group_of(sightings, 1)
    sightings.merge([first, second], order=NOW)
    split = sightings.split(first, order=NOW)
    hall.passes(2)
    sightings.undo(OperationName.parse(split.operation), order=NOW)
    assert {seen.person.unknown for seen in listed(sightings)} == {str(first)}
    with pytest.raises(NotFoundError):
        sightings.unknown(UnknownName.parse(split.other))


def test_what_was_split_does_not_meet_again_by_itself(hall, sightings):
    for _ in range(6):
        hall.passes(1)
    group = only_group(sightings)
    leaving = [SightingName.parse(seen.name) for seen in listed(sightings)[:2]]
    sightings.split(group, leaving, order=NOW)
    for _ in range(6):
        hall.passes(1)
    sightings.keeper.settle()
    owners = [seen.person.unknown for seen in listed(sightings)]
    assert len(set(owners[:2])) == 1
    assert len(set(owners[2:6])) == 1
    assert owners[0] != owners[2]


def test_a_split_of_sightings_that_are_not_in_the_group_is_refused(sightings, two_strangers):
    first = group_of(sightings, 0)
    strange = SightingName.parse(listed(sightings)[1].name)
    everybody = [SightingName.parse(listed(sightings)[number].name) for number in (0, 2, 4)]
    for leaving in ([strange], everybody):
        with pytest.raises(InvalidInputError) as refused:
            sightings.split(first, leaving, order=NOW)
        assert refused.value.reason == "SPLIT_INVALID"
    assert len(groups(sightings)) == 2


def test_a_named_group_that_is_split_keeps_its_name_and_the_person_loses_the_templates(
    hall, galleries, sightings, two_strangers
):
    first, second = group_of(sightings, 0), group_of(sightings, 1)
    sightings.merge([first, second], order=NOW)
    named = sightings.name(first, display_name="Ada", order=NOW)
    assert named.template_count == 5
    leaving = [SightingName.parse(listed(sightings)[number].name) for number in (1, 3, 5)]
    split = sightings.split(first, leaving, order=NOW)
    assert shown(sightings) == ["Ada", ""] * 3
    assert isinstance(hall.answer(face_of(1, 500)), Match)
    assert isinstance(hall.answer(face_of(2, 500)), Unknown)
    assert sightings.unknown(UnknownName.parse(split.other)).state is UnknownState.OPEN
    hall.passes(2)
    assert str(group_of(sightings, -1)) == split.other
    sightings.undo(OperationName.parse(split.operation), order=NOW)
    assert shown(sightings) == ["Ada"] * 7
    assert people(galleries)["Ada"].template_count == 5


def live_and_others(hall, sightings):
    """Four sightings of one person and one whose track goes on: the group, and the last sighting's name."""
    for _ in range(4):
        hall.passes(1)
    hall.passes(1, track="live", ended=False)
    return only_group(sightings), SightingName.parse(listed(sightings)[-1].name)


@pytest.mark.parametrize("named_first", [True, False])
def test_a_track_that_was_split_from_a_person_and_goes_on_does_not_become_the_person_again(
    hall, sightings, named_first
):
    group, live = live_and_others(hall, sightings)
    if named_first:
        sightings.name(group, display_name="Ada", order=NOW)
        hall.passes(1, track="live", ended=False)
        assert shown(sightings) == ["Ada"] * 5
    split = sightings.split(group, [live], order=NOW)
    if not named_first:
        sightings.name(group, display_name="Ada", order=NOW)
    ending = hall.report(1, track="live")
    assert isinstance(ending.answer, Match)
    sightings.observe(ending)
    hall.settle()
    assert shown(sightings) == ["Ada"] * 4 + [""]
    assert str(group_of(sightings, -1)) == split.other


def test_whose_part_was_named_as_the_same_person_after_all_is_the_person(hall, galleries, sightings):
    group, live = live_and_others(hall, sightings)
    split = sightings.split(group, [live], order=NOW)
    named = sightings.name(group, display_name="Ada", order=NOW)
    sightings.name(UnknownName.parse(split.other), identity=IdentityName.parse(named.identity), order=NOW)
    hall.passes(1, track="live")
    assert shown(sightings) == ["Ada"] * 5


def test_a_track_that_goes_on_is_the_person_again_once_its_split_is_undone(hall, sightings):
    group, live = live_and_others(hall, sightings)
    sightings.name(group, display_name="Ada", order=NOW)
    split = sightings.split(group, [live], order=NOW)
    sightings.undo(OperationName.parse(split.operation), order=NOW)
    hall.passes(1, track="live")
    assert shown(sightings) == ["Ada"] * 5


def test_a_split_undone_leads_from_a_group_that_the_new_one_had_taken_in(hall, galleries, sightings, two_strangers):
    first, second = group_of(sightings, 0), group_of(sightings, 1)
    sightings.merge([first, second], order=NOW)
    split = sightings.split(first, order=NOW)
    for _ in range(2):
        hall.passes(3)
    third = group_of(sightings, -1)
    take_in(galleries, UnknownName.parse(split.other), third)
    assert sightings.unknown(third).name == split.other
    sightings.undo(OperationName.parse(split.operation), order=NOW)
    assert sightings.unknown(third).name == str(first)


def take_in(galleries, taker, taken):
    """Puts a group's faces into another one by itself, as consolidation does where both are one person."""
    clusterings = Clusterings(SETTINGS, fingerprint=FINGERPRINT, dimension=DIMENSION)

    def job(db):
        into, out = reads.unknown_row(db, taker), reads.unknown_row(db, taken)
        view = clusterings.of(db, into.gallery_key).view(out.number)
        plan = Regrouping(moved=tuple((face, into.number) for face in view.faces), ended=((out.number, into.number),))
        return Outcome(None, (clusterings.write(db, Place(GALLERY, into.gallery_key, 7), plan),))

    galleries.store.write(job)


# ---- ignoring and deleting


def test_an_ignored_group_and_its_sightings_are_hidden_and_it_goes_on_growing(hall, sightings, two_strangers):
    first, second = group_of(sightings, 0), group_of(sightings, 1)
    sightings.ignore(first, order=NOW)
    hall.passes(1)
    assert {seen.person.unknown for seen in listed(sightings)} == {str(second)}
    assert [group.name for group in groups(sightings)] == [str(second)]
    (hidden,) = groups(sightings, UnknownState.IGNORED)
    assert (hidden.name, hidden.sighting_count) == (str(first), 4)
    assert len(listed(sightings, include_ignored=True)) == 7
    sightings.ignore(first, ignored=False, order=NOW)
    assert len(listed(sightings)) == 7
    sightings.undo(GALLERY, order=NOW)
    sightings.undo(GALLERY, order=NOW)
    assert len(groups(sightings)) == 2


def test_a_deleted_group_leaves_nothing_behind(hall, galleries, sightings, two_strangers, tmp_path):
    first = group_of(sightings, 0)
    needle = face_of(1, 0).tobytes()
    assert any(needle in path.read_bytes() for path in (tmp_path / "data").glob("gallery.sqlite3*"))
    receipt = sightings.delete(first, order=NOW)
    assert (receipt.name, receipt.sighting_count, receipt.deleted_at_ns) == (str(first), 3, 5)
    assert len(listed(sightings)) == 3
    with pytest.raises(NotFoundError):
        sightings.unknown(first)
    assert galleries.settle(30)
    galleries.close()
    assert not any(needle in path.read_bytes() for path in (tmp_path / "data").glob("gallery.sqlite3*"))


def test_deleting_a_person_takes_the_sightings_and_groups_along(hall, galleries, sightings, two_strangers):
    receipt = sightings.name(group_of(sightings, 0), display_name="Ada", order=NOW)
    hall.passes(1)
    gone = galleries.delete(IdentityName.parse(receipt.identity), at_ns=7)
    assert gone.sighting_count == 4
    assert len(listed(sightings)) == 3
    assert not groups(sightings, UnknownState.NAMED)
    with pytest.raises(ConflictError) as refused:
        sightings.undo(OperationName.parse(receipt.operation), order=NOW)
    assert refused.value.reason == "NOT_UNDOABLE"


# ---- rejecting


def test_a_match_that_is_denied_never_comes_back(hall, galleries, sightings):
    ada = enrol(galleries, "Ada", face_of(1, 0)[None]).identity.name
    wrong = face_between(1, 2)
    report = replace(hall.report(1, track="t", ended=False), template=wrong, answer=hall.answer(wrong))
    assert isinstance(report.answer, Match)
    sightings.observe(report)
    hall.settle()
    (seen,) = listed(sightings)
    receipt = sightings.reject(SightingName.parse(seen.name), order=NOW)
    assert (receipt.identity, receipt.sighting) == (ada, seen.name)
    assert shown(sightings) == [""]
    assert receipt.revision == galleries.statistics(GALLERY).revision
    assert isinstance(hall.answer(wrong), Unknown)
    assert isinstance(hall.answer(face_of(1, 5)), Match)
    sightings.observe(replace(report, ended=True))  # the track still says so
    hall.settle()
    assert shown(sightings) == [""]


def test_a_denial_survives_a_restart_and_is_undone(hall, galleries, sightings, open_galleries):
    enrol(galleries, "Ada", face_of(1, 0)[None])
    wrong = face_between(1, 2)
    sightings.observe(replace(hall.report(1), template=wrong, answer=hall.answer(wrong)))
    hall.settle()
    sightings.reject(SightingName.parse(listed(sightings)[0].name), order=NOW)
    galleries.close()
    again = open_galleries()
    reopened = Sightings(again, rule_of())
    after = Passers(again, reopened)
    assert isinstance(after.answer(wrong), Unknown)
    reopened.undo(GALLERY, order=NOW)
    assert isinstance(after.answer(wrong), Match)
    assert shown(reopened) == ["Ada"]


def face_between(one, other):
    """A face that matches the first person and is nearer to nobody else."""
    mixed = 0.62 * face_of(one, 0) + 0.5 * face_of(other, 0)
    return (mixed / np.linalg.norm(mixed)).astype(np.float32)


def test_a_denied_sighting_leaves_the_group_that_was_named_and_its_template_goes(
    hall, galleries, sightings, two_strangers
):
    first, second = group_of(sightings, 0), group_of(sightings, 1)
    sightings.merge([first, second], order=NOW)
    sightings.name(first, display_name="Ada", order=NOW)
    for number in (1, 3, 5):
        sightings.reject(SightingName.parse(listed(sightings)[number].name), order=NOW)
    assert shown(sightings) == ["Ada", ""] * 3
    assert isinstance(hall.answer(face_of(1, 500)), Match)
    assert isinstance(hall.answer(face_of(2, 500)), Unknown)
    for _ in range(3):
        sightings.undo(GALLERY, order=NOW)
    assert shown(sightings) == ["Ada"] * 6
    assert isinstance(hall.answer(face_of(2, 500)), Match)


def test_the_only_sighting_of_a_person_cannot_be_denied_for_that_is_an_undoing(hall, galleries, sightings):
    hall.passes(1)
    hall.passes(1)
    sightings.name(only_group(sightings), display_name="Ada", order=NOW)
    first, second = (SightingName.parse(seen.name) for seen in listed(sightings))
    sightings.reject(first, order=NOW)
    with pytest.raises(ConflictError) as refused:
        sightings.reject(second, order=NOW)
    assert refused.value.reason in {"LAST_TEMPLATE", "LAST_FACE"}
    assert shown(sightings) == ["", "Ada"]


def test_a_sighting_of_nobody_cannot_be_denied(hall, sightings):
    hall.passes(1)
    with pytest.raises(ConflictError) as refused:
        sightings.reject(SightingName.parse(listed(sightings)[0].name), order=NOW)
    assert refused.value.reason == "NOT_IDENTIFIED"


# ---- the audit log, undoing, repeating


def test_every_operation_is_written_down(sightings, two_strangers):
    first, second = group_of(sightings, 0), group_of(sightings, 1)
    sightings.merge([first, second], order=Order(at_ns=11, principal="eve"))
    sightings.undo(GALLERY, order=Order(at_ns=12))
    sightings.name(first, display_name="Ada", order=Order(at_ns=13))
    sightings.delete(second, order=Order(at_ns=14))
    log = sightings.operations_page(GALLERY).operations
    assert [(entry.kind, entry.at_ns, entry.undone) for entry in log] == [
        (OperationKind.DELETE, 14, False),
        (OperationKind.NAME, 13, False),
        (OperationKind.UNDO, 12, False),
        (OperationKind.MERGE, 11, True),
    ]
    assert [entry.principal for entry in log] == ["anonymous", "anonymous", "anonymous", "eve"]
    assert log[3].subjects == (str(first), str(second))
    assert log[2].subjects == (log[3].name,)


def test_an_operation_cannot_be_undone_past_a_later_one_on_the_same_people(sightings, two_strangers):
    first, second = group_of(sightings, 0), group_of(sightings, 1)
    merge = sightings.merge([first, second], order=NOW)
    name = sightings.name(first, display_name="Ada", order=NOW)
    with pytest.raises(ConflictError) as refused:
        sightings.undo(OperationName.parse(merge.operation), order=NOW)
    assert refused.value.reason == "UNDO_BLOCKED"
    assert refused.value.metadata == {"operation": name.operation}
    sightings.undo(OperationName.parse(name.operation), order=NOW)
    sightings.undo(OperationName.parse(merge.operation), order=NOW)
    assert len(groups(sightings)) == 2


def test_an_older_operation_on_other_people_can_be_undone(hall, sightings, two_strangers):
    first, second = group_of(sightings, 0), group_of(sightings, 1)
    named = sightings.name(first, display_name="Ada", order=NOW)
    sightings.ignore(second, order=NOW)
    sightings.undo(OperationName.parse(named.operation), order=NOW)
    assert [group.name for group in groups(sightings)] == [str(first)]


@pytest.mark.parametrize("again", ["the operation", "the undoing", "a deletion"])
def test_what_has_no_way_back_is_refused(sightings, two_strangers, again):
    first, second = group_of(sightings, 0), group_of(sightings, 1)
    named = sightings.name(first, display_name="Ada", order=NOW)
    sightings.undo(OperationName.parse(named.operation), order=NOW)
    sightings.delete(second, order=NOW)
    deletion, undoing, _ = sightings.operations_page(GALLERY).operations
    wanted = {"the operation": named.operation, "the undoing": undoing.name, "a deletion": deletion.name}[again]
    with pytest.raises(ConflictError) as refused:
        sightings.undo(OperationName.parse(wanted), order=NOW)
    assert refused.value.reason in {"UNDONE_ALREADY", "NOT_UNDOABLE"}


def test_nothing_to_undo_is_said(sightings):
    with pytest.raises(NotFoundError) as refused:
        sightings.undo(GALLERY, order=NOW)
    assert refused.value.reason == "NOTHING_TO_UNDO"


def test_a_request_that_comes_twice_is_done_once(hall, galleries, sightings, two_strangers):
    first, second = group_of(sightings, 0), group_of(sightings, 1)

    def order(number):
        return Order(at_ns=5, request=RequestStamp(f"request {number}", "digest"))

    calls = [
        lambda: sightings.merge([first, second], order=order(1)),
        lambda: sightings.split(first, order=order(2)),
        lambda: sightings.ignore(second, order=order(3)),
        lambda: sightings.name(first, display_name="Ada", order=order(4)),
        lambda: sightings.undo(GALLERY, order=order(5)),
        lambda: sightings.delete(first, order=order(6)),
    ]
    for call in calls:
        answer = call()
        assert call() == replace(answer, replayed=True)
    kinds = [entry.kind.value for entry in sightings.operations_page(GALLERY).operations]
    assert kinds[::-1] == ["merge", "split", "ignore", "name", "undo", "delete"]
