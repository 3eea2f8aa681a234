"""A track is reported often and written seldom, and never twice at the same time."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest

from server.domain import BestCrop, Look, Match, TrackReport, UnknownReason
from server.domain import Unknown as Stranger
from server.errors import StorageError, UnavailableError
from server.identity.sightings.tracks import Tracks
from tests.server.identity.crowd import GALLERY, QUALITY, unit

STRANGER = Stranger(UnknownReason.TOO_FAR, 1.5, 1.0)
ADA = Match("tenants/default/galleries/default/identities/ada", "Ada", 0.5, 1.0, None)
REPORT = TrackReport(
    gallery=GALLERY,
    camera="door",
    track="t",
    first_seen_ns=1,
    last_seen_ns=2,
    frames=3,
    template=unit(1, 0)[0],
    coherence=1.0,
    looks=(Look(unit(1, 0)[0], 0.9, 0),),
    best=BestCrop(np.zeros((4, 4, 3), np.uint8), QUALITY, 2),
    answer=STRANGER,
    ended=False,
)


class Disk:
    """Writes that end when a test says so, and what the store says of sightings after them."""

    def __init__(self):
        self.groups = {}
        self.written = []
        self.waiting = []
        self.closed = False

    def write(self, report):
        if self.closed:
            raise UnavailableError("STORE_CLOSED", "closed")
        self.written.append(report)
        self.waiting.append(Future())
        return self.waiting[-1]

    def done(self, key=1, group=""):
        self.groups[key] = group
        self.waiting.pop(0).set_result(key)

    def group_of(self, gallery, key):
        return self.groups[key]

    def failed(self):
        self.waiting.pop(0).set_exception(StorageError("STORAGE_FULL", "full"))


@pytest.fixture
def disk():
    return Disk()


@pytest.fixture
def tracks(disk):
    return Tracks(disk.write, disk.group_of, lambda report: len(report.looks) > 1)


def test_a_track_is_written_at_its_first_report_when_its_answer_changes_and_at_its_end(disk, tracks):
    frames = iter(range(10, 100))

    def report(**fields):
        tracks.observe(replace(REPORT, frames=next(frames), **fields))
        while disk.waiting:
            disk.done()

    for fields in ({}, {}, {"answer": ADA}, {"answer": ADA}, {}, {"ended": True}):
        report(**fields)
    assert [(r.frames, r.answer, r.ended) for r in disk.written] == [
        (10, STRANGER, False),
        (12, ADA, False),
        (14, STRANGER, False),
        (15, STRANGER, True),
    ]


def test_a_track_of_nobody_is_written_once_more_when_it_is_corroborated(disk, tracks):
    corroborated = replace(REPORT, looks=REPORT.looks * 2)
    for report in (REPORT, REPORT, corroborated, corroborated):
        tracks.observe(report)
        while disk.waiting:
            disk.done()
    assert disk.written == [REPORT, corroborated]


def test_a_track_that_has_a_name_or_a_group_is_not_written_because_it_is_corroborated(disk, tracks):
    for fields, group in (({"track": "named", "answer": ADA}, ""), ({"track": "grouped"}, "g")):
        tracks.observe(replace(REPORT, **fields))
        disk.done(group=group)
        tracks.observe(replace(REPORT, looks=REPORT.looks * 2, **fields))
    assert len(disk.written) == 2


def test_while_a_write_is_on_its_way_only_the_newest_report_waits(disk, tracks):
    tracks.observe(REPORT)
    tracks.observe(replace(REPORT, answer=ADA, frames=4))
    tracks.observe(replace(REPORT, answer=ADA, frames=5, ended=True))
    assert len(disk.written) == 1
    disk.done()
    assert [r.frames for r in disk.written] == [3, 5]
    disk.done()
    assert not disk.waiting


def test_the_group_is_told_once_it_is_written_and_not_for_a_match(disk, tracks):
    assert tracks.observe(REPORT) == ""
    disk.done(group="g")
    assert tracks.observe(REPORT) == "g"
    tracks.regroup({1: "h", 2: "i"})
    assert tracks.observe(REPORT) == "h"
    assert tracks.observe(replace(REPORT, answer=ADA)) == ""


def test_the_revision_goes_up_when_a_track_comes_to_belong_to_another_group_and_only_then(disk, tracks):
    seen = [tracks.revision]
    tracks.observe(REPORT)
    for change in (
        lambda: disk.done(group=""),
        lambda: tracks.regroup({1: "g"}),
        lambda: tracks.regroup({1: "g", 2: "h"}),
        lambda: tracks.regroup({1: "h"}),
    ):
        change()
        seen.append(tracks.revision)
    assert seen == [0, 0, 1, 1, 2]
    assert (tracks.group_of(GALLERY, "t"), tracks.group_of(GALLERY, "other")) == ("h", "")


def test_a_write_that_failed_is_tried_again_with_the_next_report(disk, tracks, caplog):
    with caplog.at_level(logging.ERROR):
        tracks.observe(REPORT)
        disk.failed()
        assert len(disk.written) == 1
        tracks.observe(REPORT)
        assert len(disk.written) == 2
    assert "a sighting was not written" in caplog.text


def test_a_store_that_is_closed_is_no_harm_to_the_camera(disk, tracks, caplog):
    disk.closed = True
    with caplog.at_level(logging.ERROR):
        assert tracks.observe(REPORT) == ""
    assert "a sighting was not written" in caplog.text


def test_sightings_of_followed_tracks_are_found_by_key_and_by_group(disk, tracks):
    tracks.observe(REPORT)
    disk.done(key=7, group="g")
    none = frozenset()
    assert tracks.keys(GALLERY, frozenset({7}), none) == tracks.keys(GALLERY, none, frozenset({"g"})) == [7]
    assert tracks.keys(GALLERY, frozenset({8}), frozenset({"h"})) == []
    tracks.observe(replace(REPORT, ended=True))
    disk.done(key=7, group="g")
    assert tracks.keys(GALLERY, frozenset({7}), none) == []


def test_a_track_that_goes_on_is_written_once_more_each_minute(disk, tracks):
    for second in range(0, 200, 10):
        tracks.observe(replace(REPORT, last_seen_ns=second * 10**9, frames=second + 1))
        while disk.waiting:
            disk.done()
    assert [report.frames for report in disk.written] == [1, 61, 121, 181]


def test_a_track_whose_sighting_is_gone_belongs_to_no_group_and_is_written_anew(disk, tracks):
    tracks.observe(REPORT)
    disk.done(key=7, group="g")
    before = tracks.revision
    tracks.regroup({7: None})
    assert tracks.revision > before
    assert tracks.keys(GALLERY, frozenset({7}), frozenset({"g"})) == []
    assert tracks.observe(REPORT) == ""
    disk.done(key=8, group="h")
    assert tracks.observe(REPORT) == "h"
    assert len(disk.written) == 2


def test_a_track_whose_sighting_went_in_the_same_transaction_is_written_anew(disk, tracks):
    tracks.observe(REPORT)
    disk.done(key=7, group=None)
    tracks.observe(REPORT)
    disk.done(key=8, group="h")
    assert tracks.observe(REPORT) == "h"


def test_waiting_ends_when_nothing_is_written_and_nothing_waits_to_be(disk, tracks):
    tracks.wait_until_written()
    tracks.observe(REPORT)
    tracks.observe(replace(REPORT, ended=True))  # waits for the first
    waiting = threading.Thread(target=tracks.wait_until_written)
    waiting.start()
    disk.done()
    waiting.join(0.05)
    assert waiting.is_alive()
    disk.done()
    waiting.join(10)
    assert not waiting.is_alive()
    assert [report.ended for report in disk.written] == [False, True]
