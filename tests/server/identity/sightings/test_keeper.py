from __future__ import annotations

from server.identity.sightings.book import Sightings
from server.identity.sightings.records import SightingFilter
from server.identity.sightings.retention import RetentionPolicy
from tests.server.identity.crowd import GALLERY
from tests.server.identity.sightings.passers import SECOND_NS, Passers, rule_of
from tests.server.identity.waiting import soon


class Clock:
    """A clock that fails when it is first asked."""

    def __init__(self):
        self.asked = 0

    def __call__(self):
        self.asked += 1
        if self.asked == 1:
            raise ValueError("a bug")
        return 1_000 * SECOND_NS


def test_the_keeper_goes_on_after_an_error_that_nobody_thought_of(galleries, caplog):
    clock = Clock()
    sightings = Sightings(galleries, rule_of(retention=RetentionPolicy(100 * SECOND_NS, 0, 0)))
    Passers(galleries, sightings).passes(1)
    keeping = Sightings(galleries, rule_of(clock=clock, retention=RetentionPolicy(100 * SECOND_NS, 0, 0)))
    keeping.keeper.start()
    assert soon(lambda: not sightings.list_page(GALLERY, SightingFilter()).sightings)
    keeping.keeper.stop()
    assert "tidying sightings failed" in caplog.text
