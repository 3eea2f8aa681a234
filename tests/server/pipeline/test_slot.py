"""The newest frame wins and every frame comes out exactly once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.pipeline.slot import NewestFrame


def test_a_newer_frame_takes_the_place_of_the_one_that_waits():
    slot = NewestFrame(max_age_ns=100)
    assert slot.offer("first", at_ns=0) is None
    assert slot.offer("second", at_ns=1) == "first"
    waiting, expired = slot.take(at_ns=2)
    assert waiting is not None
    assert (waiting.frame, waiting.arrived_at_ns, expired) == ("second", 1, None)


def test_an_empty_place_gives_nothing():
    assert NewestFrame(max_age_ns=100).take(at_ns=0) == (None, None)


def test_a_frame_may_wait_as_long_as_the_limit_and_no_longer():
    slot = NewestFrame(max_age_ns=100)
    slot.offer("in time", at_ns=0)
    assert slot.take(at_ns=100)[1] is None
    slot.offer("too late", at_ns=200)
    assert slot.take(at_ns=301) == (None, "too late")


@given(st.lists(st.tuples(st.sampled_from(["offer", "take"]), st.integers(0, 50))))
def test_every_frame_comes_out_exactly_once(steps):
    slot, now, offered, seen = NewestFrame(max_age_ns=40), 0, [], []
    for number, (step, passed) in enumerate(steps):
        now += passed
        if step == "offer":
            offered.append(number)
            superseded = slot.offer(number, at_ns=now)
            seen += [] if superseded is None else [superseded]
        else:
            waiting, expired = slot.take(at_ns=now)
            seen += [] if waiting is None else [waiting.frame]
            seen += [] if expired is None else [expired]
    waiting, expired = slot.take(at_ns=now)
    seen += [frame for frame in (waiting.frame if waiting else None, expired) if frame is not None]
    assert sorted(seen) == offered
