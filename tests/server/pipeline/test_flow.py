"""Cameras are advised fair shares of what the server measures that it can do."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.pipeline.flow import Advice, Flow, FlowRule, fair_shares

SECOND = 10**9
RULE = FlowRule(threads=2, admitted=3, credits=3)
FREE = Advice(3)

wishes = st.lists(st.one_of(st.floats(0, 1000), st.just(math.inf)), min_size=1, max_size=12)


def water_level(wanted, capacity):
    """The level that the shares are cut at, found by bisection."""
    low, high = 0.0, capacity
    for _ in range(200):
        level = (low + high) / 2
        low, high = (level, high) if sum(min(want, level) for want in wanted) <= capacity else (low, level)
    return low


@given(wishes, st.floats(0.1, 2000))
def test_shares_are_what_each_wants_cut_at_one_level_that_uses_up_the_capacity(wanted, capacity):
    level = water_level(wanted, capacity) if sum(wanted) > capacity else math.inf
    shares = fair_shares(wanted, capacity)
    assert shares == pytest.approx([min(want, level) for want in wanted], rel=1e-6, abs=1e-6)
    assert sum(shares) == pytest.approx(min(capacity, sum(wanted)), rel=1e-6)


@given(wishes, st.floats(0.1, 2000))
def test_nobody_can_have_more_without_somebody_who_has_no_more_having_less(wanted, capacity):
    shares = fair_shares(wanted, capacity)
    for share, want in zip(shares, wanted, strict=True):
        assert share <= want
        if share < want * (1 - 1e-9):
            assert share >= max(shares) * (1 - 1e-9)


@given(wishes, st.floats(0.1, 2000), st.randoms())
def test_shares_do_not_depend_on_the_order_of_the_cameras(wanted, capacity, random):
    order = list(range(len(wanted)))
    random.shuffle(order)
    shuffled = fair_shares([wanted[i] for i in order], capacity)
    assert shuffled == pytest.approx([fair_shares(wanted, capacity)[i] for i in order], rel=1e-9)


def test_without_cameras_there_is_nothing_to_share():
    assert fair_shares([], 10) == []


# ---- what is advised


@pytest.mark.parametrize("cameras", range(1, 12))
@pytest.mark.parametrize("admitted", [1, 3, 9, 17])
def test_all_cameras_together_have_at_most_one_frame_more_unanswered_than_are_let_in_or_one_each(cameras, admitted):
    flow = Flow(FlowRule(threads=2, admitted=admitted, credits=3))
    for camera in range(cameras):
        flow.enter(str(camera), 0)
    credits = {flow.advise(str(camera), 0).credits for camera in range(cameras)}
    (each,) = credits
    assert 1 <= each <= 3
    assert each == 1 or each * cameras <= admitted + 1
    assert each == 3 or (each + 1) * cameras > admitted + 1  # and no fewer than that


def test_the_work_on_a_frame_is_a_mean_that_follows_the_last_ones():
    flow = Flow(FlowRule(threads=2, admitted=3, credits=3))
    assert flow.work_s == 0
    flow.cost(0.1)
    assert flow.work_s == pytest.approx(0.1)
    for _ in range(100):
        flow.cost(0.3)
    assert flow.work_s == pytest.approx(0.3, rel=0.01)


def test_a_camera_that_sends_next_to_nothing_takes_no_credits_from_the_others():
    flow, now = flow_of({"busy": 10, "asleep": 0.1}, cost_s=0.01)
    assert flow.advise("busy", now) == FREE


def flow_of(rates, cost_s, *, seconds=20.0, rule=RULE):
    """Cameras that send so many frames a second for a while, each of which occupies a thread for so long."""
    flow = Flow(rule)
    for camera in rates:
        flow.enter(camera, 0)
    frames = sorted(
        (round(i / rate * SECOND), camera) for camera, rate in rates.items() for i in range(1, int(rate * seconds) + 1)
    )
    for at_ns, camera in frames:
        flow.came(camera, at_ns)
        flow.cost(cost_s)
    return flow, round(seconds * SECOND)


def test_a_camera_that_comes_may_send_as_fast_as_it_can():
    assert Flow(RULE).enter("door", 0) == FREE


def test_before_anything_was_measured_nobody_is_held_back():
    flow = Flow(RULE)
    flow.enter("door", 0)
    flow.came("door", SECOND)
    assert flow.advise("door", SECOND) == FREE


def test_while_the_server_keeps_up_nobody_is_held_back():
    flow, now = flow_of({"door": 25, "hall": 25}, cost_s=0.02)
    assert [flow.advise(camera, now) for camera in ("door", "hall")] == [Advice(2), Advice(2)]


def test_cameras_that_want_too_much_are_advised_equal_shares_of_what_is_there():
    flow, now = flow_of({"a": 25, "b": 25, "c": 25, "d": 25}, cost_s=0.05)
    capacity = 0.85 * 2 / 0.05
    for camera in "abcd":
        advice = flow.advise(camera, now)
        assert advice.frames_per_second == pytest.approx(capacity / 4, abs=0.05)
        assert (advice.longest_side, advice.jpeg_quality) == (RULE.busy_side, RULE.busy_quality)
        assert advice.credits == 1


def test_a_camera_that_wants_less_than_its_share_is_not_slowed_down_and_the_others_divide_the_rest():
    flow, now = flow_of({"slow": 2, "fast": 30, "faster": 60}, cost_s=0.05)
    capacity = 0.85 * 2 / 0.05
    assert flow.advise("slow", now).frames_per_second is None
    for camera in ("fast", "faster"):
        assert flow.advise(camera, now).frames_per_second == pytest.approx((capacity - 2) / 2, abs=0.1)


def test_a_busy_server_advises_smaller_frames_even_to_those_who_may_send_all_they_have():
    flow, now = flow_of({"slow": 2, "fast": 60}, cost_s=0.05)
    assert flow.advise("slow", now).longest_side == RULE.busy_side


def test_nobody_is_advised_to_stop_however_slow_the_server_is():
    flow, now = flow_of({"a": 5, "b": 5, "c": 5}, cost_s=10)
    advice = flow.advise("a", now)
    assert advice.frames_per_second == 1
    assert advice.credits >= 1
    only = Flow(FlowRule(threads=1, admitted=2, credits=1))
    only.enter("a", 0)
    for i in range(1, 50):
        only.came("a", i * SECOND // 50)
        only.cost(10)
    assert only.advise("a", SECOND).credits == 1


def test_cameras_that_follow_their_advice_share_fairly_and_keep_what_they_have():
    # every camera has 30 frames a second, sends what it was last advised, and asks once a second
    flow, rates, cost_s = Flow(RULE), {"a": 30.0, "b": 30.0, "c": 30.0}, 0.05
    due = dict.fromkeys(rates, 0.0)
    for camera in rates:
        flow.enter(camera, 0)
    history = []
    for second in range(1, 31):
        frames = []
        for camera, rate in rates.items():
            while due[camera] < second:
                frames.append((due[camera], camera))
                due[camera] += 1 / rate
        for at_s, camera in sorted(frames):
            flow.came(camera, round(at_s * SECOND))
            flow.cost(cost_s)
        for camera in rates:
            rates[camera] = flow.advise(camera, second * SECOND).frames_per_second or 30.0
        history.append(dict(rates))
    capacity = 0.85 * 2 / cost_s
    for rates_then in history[10:]:
        assert sum(rates_then.values()) <= capacity * 1.1
        values = list(rates_then.values())
        assert sum(values) ** 2 / (len(values) * sum(value**2 for value in values)) > 0.98


def test_when_cameras_leave_the_rest_may_send_more_and_is_free_when_it_does_not_want_more():
    flow, now = flow_of({"a": 15, "b": 25, "c": 25}, cost_s=0.05)
    assert flow.advise("a", now) != FREE
    flow.leave("b")
    flow.leave("c")
    for i in range(1, 60):
        flow.came("a", now + i * SECOND // 15)
    higher, free = (flow.advise("a", now + seconds * SECOND) for seconds in (4, 5))
    assert higher.frames_per_second == pytest.approx(0.85 * 2 / 0.05, abs=0.05)
    assert free == FREE


def test_a_camera_that_stopped_sending_fades_out_and_leaves_its_share_to_the_others():
    flow, now = flow_of({"a": 30, "b": 60}, cost_s=0.05)
    held = flow.advise("a", now).frames_per_second
    for i in range(1, 601):
        flow.came("a", now + i * SECOND // 30)
    assert flow.advise("a", now + 20 * SECOND).frames_per_second != held


def test_leaving_twice_or_without_having_come_is_harmless():
    flow = Flow(RULE)
    flow.enter("a", 0)
    flow.leave("a")
    flow.leave("a")
    flow.leave("b")
    assert flow.enter("c", 0) == FREE
