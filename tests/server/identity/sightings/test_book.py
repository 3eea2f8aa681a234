"""What a tracker is told of tracks that go on while others write: admins, other cameras, retention."""

from __future__ import annotations

import threading

from server.domain import IdentityName, UnknownName
from server.identity.group_commit import Outcome
from server.identity.sightings.book import Sightings
from server.identity.sightings.orders import Order
from server.identity.sightings.records import SightingFilter
from server.identity.sightings.retention import RetentionPolicy
from tests.server.identity.crowd import GALLERY
from tests.server.identity.sightings.passers import LONG, SECOND_NS, Passers, rule_of

NOW = Order(at_ns=5)


def group_in_view(hall, sightings):
    """A stranger who stays in view, in a group: the last report and the group."""
    report = hall.passes(1, seen_s=LONG, ended=False)
    group = sightings.observe(report)
    assert group
    return report, group


def newest(sightings):
    return sightings.list_page(GALLERY, SightingFilter()).sightings[0]


def test_whoever_is_in_view_while_the_group_is_deleted_is_seen_and_grouped_anew(hall, sightings):
    report, group = group_in_view(hall, sightings)
    revision = sightings.groups_revision
    sightings.delete(UnknownName.parse(group), order=NOW)
    assert sightings.groups_revision > revision
    assert sightings.group_of(GALLERY, report.track) == ""
    assert sightings.observe(report) == ""
    hall.settle()
    again = sightings.observe(report)
    assert again not in ("", group)
    assert newest(sightings).person.unknown == again


def test_whoever_is_in_view_while_the_sighting_expires_is_seen_anew(galleries):
    now_s = 0
    policy = RetentionPolicy(100 * SECOND_NS, 0, 0)
    sightings = Sightings(galleries, rule_of(clock=lambda: now_s * SECOND_NS, retention=policy))
    hall = Passers(galleries, sightings)
    report, group = group_in_view(hall, sightings)
    now_s = 1000
    assert sightings.keeper.expire() == 1
    assert sightings.observe(report) == ""
    hall.settle()
    assert sightings.observe(report) not in ("", group)


def test_whoever_is_in_view_in_a_named_group_is_seen_anew_when_the_person_is_deleted(hall, galleries, sightings):
    report, group = group_in_view(hall, sightings)
    receipt = sightings.name(UnknownName.parse(group), display_name="Ada", order=NOW)
    galleries.delete(IdentityName.parse(receipt.identity), at_ns=6)
    assert not sightings.list_page(GALLERY, SightingFilter()).sightings
    assert sightings.observe(report) == ""
    hall.settle()
    assert sightings.observe(report) not in ("", group)


def test_a_group_that_comes_in_the_same_transaction_is_told_to_all_its_tracks(hall, galleries, sightings):
    going = threading.Event()
    galleries.store.post(lambda db: Outcome(going.wait(10)))
    waiting, second = hall.report(1, ended=False), hall.report(1, ended=False, camera="yard")
    for report in (waiting, second):
        sightings.observe(report)
    going.set()
    hall.settle()
    assert sightings.observe(second)
    assert sightings.observe(waiting) == sightings.observe(second)


def test_a_group_that_is_deleted_in_the_transaction_that_writes_its_track_is_left(hall, galleries, sightings):
    report, group = group_in_view(hall, sightings)
    going = threading.Event()
    galleries.store.post(lambda db: Outcome(going.wait(10)))
    hall.sightings.observe(hall.report(1, track=report.track, seen_s=LONG, ended=False, at_s=100))
    deleting = threading.Thread(target=sightings.delete, args=(UnknownName.parse(group),), kwargs={"order": NOW})
    deleting.start()
    going.set()
    deleting.join()
    hall.settle()
    sightings.observe(report)
    hall.settle()
    assert sightings.observe(report) == newest(sightings).person.unknown != ""
