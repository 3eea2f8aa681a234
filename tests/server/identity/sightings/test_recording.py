from __future__ import annotations

from dataclasses import replace

import numpy as np

from server.domain import IdentityName, Match, SightingName
from server.identity.sightings.book import Sightings
from server.identity.sightings.records import SightingFilter
from tests.server.identity.crowd import GALLERY, QUALITY, enrol
from tests.server.identity.sightings.passers import LONG, POOR, SECOND_NS, Passers, face_of, rule_of

FAINT = replace(QUALITY, score=0.1)
"""Good enough to be placed, too poor to promote as a second sighting."""


def listed(sightings, **wanted):
    return sightings.list_page(GALLERY, SightingFilter(**wanted)).sightings


def open_groups(sightings):
    return sightings.unknowns_page(GALLERY, ()).unknowns


def test_a_stranger_seen_once_is_a_sighting_of_nobody(hall, sightings):
    hall.passes(1, at_s=5, camera="yard")
    (seen,) = listed(sightings)
    assert (seen.person.identity, seen.person.unknown, seen.person.display_name) == ("", "", "")
    assert (seen.camera, seen.track, seen.frames, seen.ended) == ("yard", "track-0", 9, True)
    assert (seen.first_seen_ns, seen.last_seen_ns, seen.best_ns) == (5 * SECOND_NS, 7 * SECOND_NS, 6 * SECOND_NS)
    assert (seen.distance, seen.threshold) == (None, 0.9)
    assert not open_groups(sightings)


def test_a_stranger_seen_twice_is_a_group_of_both_sightings_whatever_the_camera(hall, sightings):
    hall.passes(1, at_s=5, camera="yard")
    hall.passes(2, at_s=6)
    hall.passes(1, at_s=9, camera="door")
    (group,) = open_groups(sightings)
    assert (group.sighting_count, group.cameras) == (2, ("door", "yard"))
    assert (group.first_seen_ns, group.last_seen_ns) == (5 * SECOND_NS, 11 * SECOND_NS)
    newest, other, oldest = listed(sightings)
    assert newest.person.unknown == oldest.person.unknown == group.name
    assert other.person.unknown == ""


def test_a_stranger_who_stays_is_a_group_in_one_pass(hall, sightings):
    hall.passes(1, track="t", seen_s=LONG[:1], ended=False)
    hall.passes(1, track="t", seen_s=LONG[:2], ended=False)
    assert not open_groups(sightings)
    staying = hall.passes(1, track="t", seen_s=LONG, ended=False)
    (group,) = open_groups(sightings)
    assert group.sighting_count == 1
    assert sightings.observe(staying) == group.name
    hall.passes(1, track="t", seen_s=LONG)
    assert [one.name for one in open_groups(sightings)] == [group.name]


def test_a_stranger_who_stays_after_having_passed_makes_the_candidate_known(hall, sightings):
    hall.passes(1, quality=FAINT)
    hall.passes(1, track="t", quality=FAINT, ended=False)
    assert not open_groups(sightings)
    hall.passes(1, track="t", seen_s=LONG)
    (group,) = open_groups(sightings)
    assert group.sighting_count == 2


def test_a_stranger_who_stays_far_away_is_a_group_too_and_one_who_is_illegible_is_not(hall, sightings):
    hall.passes(1, quality=FAINT, seen_s=LONG)
    hall.passes(2, quality=POOR, seen_s=LONG)
    (group,) = open_groups(sightings)
    assert group.sighting_count == 1


def test_the_tracker_is_told_the_group_once_it_is_written(hall, sightings):
    hall.passes(1)
    report = hall.report(1, ended=False)
    assert sightings.observe(report) == ""
    hall.settle()
    (group,) = open_groups(sightings)
    assert sightings.observe(report) == group.name


def test_a_track_that_waited_alone_is_told_its_group_when_the_person_passes_again(hall, sightings):
    waiting = hall.passes(1, ended=False)
    assert sightings.observe(waiting) == ""
    hall.passes(1)
    (group,) = open_groups(sightings)
    assert sightings.observe(waiting) == group.name


def test_a_stream_in_progress_sees_by_the_revision_that_a_track_belongs_to_another_group(hall, sightings):
    waiting = hall.passes(1, ended=False)
    before = sightings.groups_revision
    hall.passes(2)
    assert sightings.groups_revision == before
    hall.passes(1)
    (group,) = open_groups(sightings)
    assert sightings.groups_revision > before
    assert sightings.group_of(GALLERY, waiting.track) == group.name


def test_a_track_is_one_sighting_however_often_it_is_reported(hall, sightings):
    for frames in (3, 4, 5):
        hall.passes(1, track="t", frames=frames, look=0, ended=False)
    assert [seen.frames for seen in listed(sightings)] == [3]
    hall.passes(1, track="t", frames=60, look=0)
    (seen,) = listed(sightings)
    assert (seen.frames, seen.ended) == (60, True)
    assert not open_groups(sightings)


def test_a_match_shows_the_person_and_starts_no_group(hall, galleries, sightings):
    receipt = enrol(galleries, "Ada", face_of(1, 99)[None])
    hall.passes(1)
    hall.passes(1)
    for seen in listed(sightings):
        assert (seen.person.identity, seen.person.display_name) == (receipt.identity.name, "Ada")
        assert 0 < seen.distance < seen.threshold
    assert not open_groups(sightings)


def test_the_past_follows_a_renaming(hall, galleries, sightings):
    receipt = enrol(galleries, "Ada", face_of(1, 0)[None])
    hall.passes(1)
    galleries.rename(IdentityName.parse(receipt.identity.name), "Ada King", at_ns=2)
    assert [seen.person.display_name for seen in listed(sightings)] == ["Ada King"]


def test_a_track_that_is_recognised_after_all_leaves_its_group(hall, galleries, sightings):
    hall.passes(1, track="first")
    hall.passes(1, track="second", ended=False)
    receipt = enrol(galleries, "Ada", face_of(1, 0)[None])
    hall.passes(1, track="second")
    second, first = listed(sightings)
    assert (second.person.display_name, second.person.unknown) == ("Ada", "")
    assert first.person.identity == ""
    (group,) = open_groups(sightings)
    assert group.sighting_count == 1
    assert [s.name for s in listed(sightings, identity=receipt.identity.name)] == [second.name]


def test_a_match_with_somebody_who_was_deleted_meanwhile_is_not_written(hall, galleries, sightings):
    receipt = enrol(galleries, "Ada", face_of(1, 0)[None])
    report = hall.report(1)
    assert isinstance(report.answer, Match)
    galleries.delete(IdentityName.parse(receipt.identity.name), at_ns=2)
    sightings.observe(report)
    hall.settle()
    assert not listed(sightings)


def test_a_face_too_poor_for_anything_is_a_sighting_in_no_group(hall, sightings):
    for _ in range(3):
        hall.passes(1, quality=POOR)
    assert len(listed(sightings)) == 3
    assert not open_groups(sightings)


def test_the_crop_is_kept_and_the_last_one_counts(hall, sightings):
    hall.passes(1, track="t", ended=False)
    hall.passes(1, track="t")
    (seen,) = listed(sightings)
    _, crop = sightings.get(SightingName.parse(seen.name))
    assert crop == np.full((4, 4, 3), 1, np.uint8).tobytes()


def test_whoever_stays_in_view_is_seen_since_any_time(hall, sightings):
    hall.passes(1, track="gone", at_s=0)
    hall.passes(2, track="there", at_s=0, ended=False)
    assert [seen.track for seen in listed(sightings, start_ns=50 * SECOND_NS)] == ["there"]
    hall.passes(2, track="there", at_s=70, look=1, ended=False, frames=700)
    (seen,) = listed(sightings, start_ns=50 * SECOND_NS)
    assert (seen.last_seen_ns, seen.frames) == (72 * SECOND_NS, 700)


def test_tracks_of_a_server_that_was_killed_have_ended(hall, galleries, open_galleries):
    hall.passes(1, at_s=0, ended=False)
    galleries.close()
    again = open_galleries()
    reopened = Sightings(again, rule_of())
    Passers(again, reopened).settle()
    assert not listed(reopened, start_ns=50 * SECOND_NS)
    assert [seen.ended for seen in listed(reopened)] == [True]


def test_groups_and_tracks_survive_a_restart(hall, galleries, sightings, open_galleries):
    hall.passes(1)
    hall.passes(1)
    (group,) = open_groups(sightings)
    galleries.close()
    again = open_galleries()
    reopened = Sightings(again, rule_of())
    after = Passers(again, reopened)
    after.passes(1, track="later")
    (same,) = open_groups(reopened)
    assert (same.name, same.sighting_count) == (group.name, 3)
