"""What is too old or too much goes, completely; what admins said of the enrolled stays."""

from __future__ import annotations

import pytest

from server.domain import OperationName, SightingName, Unknown, UnknownName
from server.errors import ConflictError, NotFoundError
from server.identity.sightings.book import Sightings
from server.identity.sightings.orders import Order
from server.identity.sightings.records import SightingFilter, UnknownState
from server.identity.sightings.retention import RetentionPolicy
from tests.server.identity.crowd import GALLERY, enrol
from tests.server.identity.sightings.passers import SECOND_NS, Passers, face_of, rule_of

NOW = Order(at_ns=5)


class Kept:
    """Sightings under a policy; ages in seconds."""

    def __init__(self, galleries, *, sighting_s=0, stranger_s=0, count=0):
        self.now_s = 0
        policy = RetentionPolicy(sighting_s * SECOND_NS, stranger_s * SECOND_NS, count)
        self.book = Sightings(galleries, rule_of(clock=lambda: self.now_s * SECOND_NS, retention=policy))
        self.hall = Passers(galleries, self.book)

    def expire(self, now_s):
        self.now_s = now_s
        return self.book.keeper.expire()

    def seconds(self):
        """When the sightings that are left began, oldest first."""
        page = self.book.list_page(GALLERY, SightingFilter(include_ignored=True))
        return [seen.first_seen_ns // SECOND_NS for seen in page.sightings[::-1]]


def test_sightings_go_when_they_are_too_old(galleries):
    enrol(galleries, "Ada", face_of(9, 0)[None])
    kept = Kept(galleries, sighting_s=100)
    for at_s, who in ((0, 9), (10, 1), (50, 1), (60, 9)):
        kept.hall.passes(who, at_s=at_s)
    assert kept.expire(105) == 1
    assert kept.seconds() == [10, 50, 60]
    assert kept.expire(200) == 3
    assert kept.seconds() == []
    assert kept.expire(200) == 0


def test_unknown_people_go_when_they_were_not_seen_for_too_long_and_known_ones_stay(galleries):
    enrol(galleries, "Ada", face_of(9, 0)[None])
    kept = Kept(galleries, stranger_s=100)
    for at_s, who in ((0, 9), (0, 1), (0, 2), (0, 3), (50, 1), (60, 3)):
        kept.hall.passes(who, at_s=at_s)
    kept.expire(120)
    # Person 2 was seen once; persons 1 and 3 were seen again.
    assert kept.seconds() == [0, 0, 0, 50, 60]
    kept.expire(155)
    assert kept.seconds() == [0, 0, 60]
    (left,) = kept.book.unknowns_page(GALLERY, ()).unknowns
    assert left.sighting_count == 2


def test_an_expired_group_is_gone_and_its_person_starts_anew(galleries):
    kept = Kept(galleries, stranger_s=100)
    for at_s in (0, 10):
        kept.hall.passes(1, at_s=at_s)
    (group,) = kept.book.unknowns_page(GALLERY, ()).unknowns
    kept.expire(500)
    with pytest.raises(NotFoundError):
        kept.book.unknown(UnknownName.parse(group.name))
    for at_s in (600, 610):
        kept.hall.passes(1, at_s=at_s)
    (again,) = kept.book.unknowns_page(GALLERY, ()).unknowns
    assert again.name != group.name


def test_beyond_a_number_the_oldest_go(galleries):
    kept = Kept(galleries, count=3)
    for at_s in range(5):
        kept.hall.passes(at_s, at_s=at_s)
    assert kept.expire(10) == 2
    assert kept.seconds() == [2, 3, 4]


def test_a_name_outlives_the_sightings_that_it_was_given_to(galleries):
    kept = Kept(galleries, sighting_s=100)
    for at_s in (0, 1, 2):
        kept.hall.passes(1, at_s=at_s)
    (group,) = kept.book.unknowns_page(GALLERY, ()).unknowns
    receipt = kept.book.name(UnknownName.parse(group.name), display_name="Ada", order=NOW)
    kept.expire(1000)
    assert kept.seconds() == []
    assert not kept.book.unknowns_page(GALLERY, (UnknownState.NAMED,)).unknowns
    assert kept.hall.answer(face_of(1, 77)).display_name == "Ada"
    with pytest.raises(ConflictError) as refused:
        kept.book.undo(OperationName.parse(receipt.operation), order=NOW)
    assert refused.value.reason == "NOT_UNDOABLE"
    with pytest.raises(NotFoundError):
        kept.book.undo(GALLERY, order=NOW)


def test_what_was_denied_stays_denied_when_the_sighting_is_gone(galleries):
    enrol(galleries, "Ada", face_of(1, 0)[None])
    kept = Kept(galleries, sighting_s=100)
    report = kept.hall.passes(1, look=5)
    (seen,) = kept.book.list_page(GALLERY, SightingFilter()).sightings
    kept.book.reject(SightingName.parse(seen.name), order=NOW)
    kept.expire(1000)
    assert not kept.seconds()
    assert isinstance(kept.hall.answer(report.template), Unknown)


def test_groups_whose_faces_are_of_other_models_go_with_their_sightings(open_galleries):
    old = open_galleries(fingerprint="old")
    before = Kept(old)
    for at_s in (0, 10):
        before.hall.passes(1, at_s=at_s)
    (group,) = before.book.unknowns_page(GALLERY, ()).unknowns
    old.close()
    kept = Kept(open_galleries(fingerprint="new"), sighting_s=100)
    watch = kept.book.watch(GALLERY, lambda: None)
    kept.hall.passes(2, at_s=1000, track="first")
    kept.hall.passes(2, at_s=1010, track="second")
    assert kept.expire(1050) == 2
    (left,) = kept.book.unknowns_page(GALLERY, ()).unknowns
    assert left.name != group.name
    assert group.name in watch.take().people


def test_watchers_are_told_what_went(galleries):
    kept = Kept(galleries, sighting_s=100)
    kept.hall.passes(1)
    watch = kept.book.watch(GALLERY, lambda: None)
    kept.expire(1000)
    assert watch.take().deleted == (1,)


def test_nothing_goes_without_a_policy(galleries):
    kept = Kept(galleries)
    kept.hall.passes(1)
    assert kept.expire(10**9) == 0
    assert kept.seconds() == [0]


def test_the_keeper_starts_and_stops(galleries):
    kept = Kept(galleries)
    kept.hall.passes(1)
    kept.book.keeper.start()
    kept.book.keeper.stop()
