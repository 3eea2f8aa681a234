"""A disk without space: sightings are lost, not mixed up, and all goes on once there is space again."""

from __future__ import annotations

import pytest

from server.errors import StorageFullError
from server.identity.sightings.book import Sightings
from server.identity.sightings.orders import Order
from server.identity.sightings.records import SightingFilter
from tests.server.identity.crowd import GALLERY
from tests.server.identity.faulty_disk import faulty_disk
from tests.server.identity.sightings.passers import Passers, rule_of
from tests.server.identity.sightings.test_operations import group_of, listed

NOW = Order(at_ns=5)


@pytest.fixture
def disk():
    with faulty_disk() as disk:
        yield disk


@pytest.fixture
def hall(disk, open_galleries):
    galleries = open_galleries(vfs=disk.name)
    yield Passers(galleries, Sightings(galleries, rule_of()))
    disk.full = False
    galleries.close()


def wait(hall):
    """Until everything that was reported is written down, or refused."""
    try:
        hall.settle()
    except StorageFullError:
        return


def test_while_the_disk_is_full_nothing_is_half_done_and_afterwards_tracks_find_their_groups(hall, disk):
    sightings = hall.sightings
    for _ in range(2):
        hall.passes(1)
        hall.passes(2)
    first, second = group_of(sightings, 0), group_of(sightings, 1)
    disk.full = True
    report = hall.report(1, ended=False)
    assert sightings.observe(report) == ""
    wait(hall)
    with pytest.raises(StorageFullError):
        sightings.merge([first, second], order=NOW)
    disk.full = False
    assert len(listed(sightings)) == 4
    assert sightings.unknown(second).sighting_count == 2
    sightings.observe(report)
    hall.settle()
    assert sightings.observe(report) == str(first)
    hall.passes(2)
    page = sightings.list_page(GALLERY, SightingFilter())
    assert [seen.person.unknown for seen in page.sightings[:2]] == [str(second), str(first)]
