from __future__ import annotations

import pytest

from server.domain import GalleryName
from server.errors import ExhaustedError
from server.identity.sightings.records import SightingChange
from server.identity.sightings.watching import News, Watches
from tests.server.identity.crowd import GALLERY

ELSEWHERE = GalleryName("acme", "vip")


def change(gallery=GALLERY, **fields):
    return SightingChange(gallery, 1, **fields)


def test_a_watch_collects_what_happens_in_its_gallery_and_each_sighting_once():
    watches, calls = Watches(), []
    watch = watches.begin(GALLERY, lambda: calls.append(1))
    watches.publish(
        [change(sightings=(1, 2)), change(ELSEWHERE, sightings=(9,)), change(sightings=(1,), people=("u",))]
    )
    assert len(calls) == 2
    assert watch.take() == News((2, 1), ("u",), ())
    assert watch.take() == News((), (), ())


def test_a_sighting_that_was_deleted_is_no_longer_new():
    watches = Watches()
    watch = watches.begin(GALLERY, lambda: None)
    watches.publish([change(sightings=(1, 2)), change(deleted=(1,))])
    assert watch.take() == News((2,), (), (1,))


def test_a_watch_that_ended_is_told_nothing():
    watches = Watches()
    watch = watches.begin(GALLERY, lambda: None)
    watches.end(watch)
    watches.publish([change(sightings=(1,))])
    assert watch.take() == News((), (), ())


def test_a_watcher_who_never_reads_is_told_so_and_costs_no_more_memory():
    watches = Watches()
    watch = watches.begin(GALLERY, lambda: None)
    watches.publish([change(sightings=tuple(range(start, start + 5_000))) for start in range(0, 25_000, 5_000)])
    with pytest.raises(ExhaustedError) as refused:
        watch.take()
    assert refused.value.reason == "WATCH_FELL_BEHIND"
