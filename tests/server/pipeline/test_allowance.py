"""Close looks are free while no frame waits, fewer while frames do, fewest for a camera whose frames are dropped."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.pipeline.allowance import AllowanceRule, LookAllowance

RULE = AllowanceRule(
    idle=4.0, busy=0.75, dropping=0.5, late=0.5, lost=0.1, memory_s=0.25, rest_s=2.0, saved=16.0, reserve=8.0
)
WORK_S = 0.1


class Camera:
    """Frames of 0.1 s of work, ten a second, let in one after the other."""

    def __init__(self, shared):
        self.allowance, self.at_ns = shared.camera(), 0

    def frames(self, count, *, waited=0.0, drops=0):
        """`waited` is a multiple of the work, `drops` come before each frame."""
        for _ in range(count):
            self.at_ns += 10**8
            for _ in range(drops):
                self.allowance.drop()
            self.allowance.frame(waited_ns=round(waited * WORK_S * 1e9), work_s=WORK_S, at_ns=self.at_ns)

    def looks_a_frame(self, count=200, **load):
        """Had by frames in which everybody is new, once the means have settled."""
        self.frames(50, **load)
        spent(self.allowance, 99)
        had = 0
        for _ in range(count):
            self.frames(1, **load)
            had += spent(self.allowance, 99)
        return had / count


def spent(allowance, urgent, patient=0):
    with allowance.taken(urgent, patient) as looks:
        return sum(looks)


def looks(allowance, urgent, patient):
    with allowance.taken(urgent, patient) as taken:
        return taken


def test_a_crowd_that_comes_in_is_looked_at_at_once():
    assert looks(LookAllowance(RULE), 16, 0) == (16, 0)


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        ({}, 4.0),
        ({"waited": 0.25}, (4.0 + 0.75) / 2),
        ({"waited": 0.5}, 0.75),
        ({"waited": 5.0}, 0.75),
        ({"waited": 5.0, "drops": 1}, 0.5),
        ({"waited": 5.0, "drops": 9}, 0.5),
        ({"drops": 9}, 4.0),
    ],
)
def test_looks_become_fewer_the_longer_frames_wait_and_fewest_when_they_are_dropped(load, expected):
    assert Camera(LookAllowance(RULE)).looks_a_frame(**load) == pytest.approx(expected, abs=0.05)


def test_one_frame_that_waits_does_not_make_a_busy_server():
    camera = Camera(LookAllowance(RULE))
    camera.frames(50)
    spent(camera.allowance, 99)
    camera.frames(1, waited=0.5)
    assert spent(camera.allowance, 99) >= 2


@pytest.mark.parametrize("work_s", [0.001, 1.0])
def test_a_slow_server_is_as_busy_as_a_fast_one_with_the_same_share_of_waiting(work_s):
    allowance = LookAllowance(RULE)
    for i in range(1, 101):
        allowance.frame(waited_ns=round(work_s / 4 * 1e9), work_s=work_s, at_ns=i * 10**9)
    spent(allowance, 99)
    allowance.frame(waited_ns=round(work_s / 4 * 1e9), work_s=work_s, at_ns=101 * 10**9)
    assert spent(allowance, 99) == 2


def test_after_a_rest_a_crowd_is_looked_at_at_once_again():
    camera = Camera(LookAllowance(RULE))
    camera.looks_a_frame(waited=5.0)
    camera.at_ns += 3 * 10**9
    camera.frames(1)
    assert spent(camera.allowance, 16) == 16


def test_a_camera_that_floods_the_server_pays_for_it_and_the_one_beside_it_does_not():
    shared = LookAllowance(RULE)
    good, greedy = Camera(shared), Camera(shared)
    had = {good: 0, greedy: 0}
    for i in range(300):
        for camera, drops in ((good, 0), (greedy, 9)):
            camera.frames(1, waited=5.0, drops=drops)
            had[camera] += spent(camera.allowance, 2) if i >= 100 else 0 * spent(camera.allowance, 2)
    assert had[greedy] / 200 == pytest.approx(RULE.dropping, abs=0.02)
    assert had[good] / 200 == pytest.approx(2 * RULE.busy - RULE.dropping, abs=0.05)


def test_looks_saved_up_before_are_lost_to_a_camera_whose_frames_are_dropped():
    camera = Camera(LookAllowance(RULE))
    camera.frames(10, waited=5.0, drops=1)
    assert spent(camera.allowance, 16) == 1


def test_a_camera_has_its_looks_again_soon_after_the_last_drop():
    camera = Camera(LookAllowance(RULE))
    camera.frames(100, waited=5.0, drops=9)
    camera.frames(30, waited=5.0)
    assert spent(camera.allowance, 16) >= 15


def test_looks_that_can_wait_leave_the_reserve_to_those_that_can_not():
    allowance = LookAllowance(RULE)
    assert looks(allowance, 0, 20) == (0, 8)
    assert looks(allowance, 20, 0) == (8, 0)


def test_it_spares_a_look_that_can_wait_exactly_while_one_could_be_had():
    allowance = LookAllowance(RULE).camera()
    for _ in range(20):
        spared = allowance.spares
        assert looks(allowance, 0, 1) == (0, int(spared))


def test_while_all_places_are_taken_a_frame_has_one_look_and_an_urgent_one_first():
    allowance = LookAllowance(RULE, places=1)
    with allowance.taken(3, 0):
        assert looks(allowance, 5, 5) == (1, 0)
        assert looks(allowance, 0, 5) == (0, 1)
    assert looks(allowance, 5, 0) == (5, 0)


def test_a_single_look_takes_no_place():
    allowance = LookAllowance(RULE, places=1)
    with allowance.taken(1, 0):
        assert looks(allowance, 5, 0) == (5, 0)


def test_as_many_frames_as_there_are_places_are_looked_at_side_by_side():
    allowance = LookAllowance(RULE, places=2)
    with ExitStack() as held:
        assert [held.enter_context(allowance.taken(3, 0)) for _ in range(3)] == [(3, 0), (3, 0), (1, 0)]


def test_a_place_is_free_again_after_a_look_that_failed():
    allowance = LookAllowance(RULE, places=1)
    with pytest.raises(ZeroDivisionError), allowance.taken(3, 0):
        raise ZeroDivisionError
    assert looks(allowance, 5, 0) == (5, 0)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans(), st.integers(0, 3)), max_size=60))
def test_nobody_gets_more_than_was_saved_and_came_in_nor_more_than_was_asked(steps):
    camera, came, taken = Camera(LookAllowance(RULE)), RULE.saved, 0
    for urgent, patient, busy, drops in steps:
        first, second = looks(camera.allowance, urgent, patient)
        assert 0 <= first <= urgent
        assert 0 <= second <= patient
        taken += first + second
        assert taken <= came
        camera.frames(1, waited=float(busy), drops=drops)
        came += RULE.idle


def test_many_threads_share_it_without_getting_more():
    allowance, taken = LookAllowance(AllowanceRule(saved=100.0), places=40), []
    threads = [threading.Thread(target=lambda: taken.append(spent(allowance, 7))) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 100
