"""Cameras that always have a frame get equal shares of the work, and those that want less get what they want."""

from __future__ import annotations

import random

from server.pipeline.fair_queue import FairQueue


def served(wanting, rounds, *, cost=lambda camera: 1.0, at_once=1):
    """How much work each camera got; `wanting` says which cameras have a frame in a round."""
    queue, work, running = FairQueue(), {}, []
    for number in range(rounds):
        if len(running) == at_once:
            camera, charged = running.pop(0)
            queue.end(camera, charged, cost(camera))
            work[camera] = work.get(camera, 0.0) + cost(camera)
        waiting = wanting(number)
        camera = waiting[queue.next(waiting)]
        running.append((camera, queue.begin(camera)))
    return work


def test_of_cameras_that_have_had_equally_much_the_one_that_waits_longest_is_next():
    assert FairQueue().next(["b", "a", "c"]) == 0


def test_cameras_whose_frames_cost_unequally_get_equal_work_and_not_equally_many_frames():
    cost = {"cheap": 1.0, "dear": 5.0}.__getitem__
    work = served(lambda number: ["dear", "cheap"], 600, cost=cost)
    assert abs(work["cheap"] - work["dear"]) <= 10


def test_a_camera_that_offers_two_frames_at_once_gets_no_more_than_one_that_offers_one():
    work = served(lambda number: ["greedy", "greedy", "modest"], 400, at_once=2)
    assert abs(work["greedy"] - work["modest"]) <= 4


def test_a_camera_that_wants_less_than_its_share_is_always_next():
    queue, rng = FairQueue(), random.Random(1)
    for number in range(500):
        waiting = ["greedy", "greedier"] + (["modest"] if number % 5 == 0 else [])
        camera = waiting[queue.next(waiting)]
        if number > 10 and "modest" in waiting:
            assert camera == "modest"
        queue.end(camera, queue.begin(camera), rng.uniform(0.5, 1.5))


def test_a_camera_that_was_away_does_not_get_what_it_missed():
    work = served(lambda number: ["early", "late"] if number >= 100 else ["early"], 300)
    assert abs(work["early"] - 100 - work["late"]) <= 2


def test_a_frame_that_ends_after_its_camera_has_gone_leaves_nothing_behind():
    queue = FairQueue()
    charged = queue.begin("gone")
    queue.forget("gone")
    queue.end("gone", charged, 1.0)
    assert queue.next(["stays", "gone"]) == 0
