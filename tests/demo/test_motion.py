from __future__ import annotations

import itertools

import numpy as np
import pytest

from demo.geometry import Box
from demo.hall import HORIZON, WIDTH
from demo.motion import Walk, Waypoint, place
from demo.script import WALKS

STRAIGHT = Walk("Ada", (Waypoint(0, 200, 80), Waypoint(10, 1000, 160)), phase=0.25)


def test_a_straight_walk_passes_its_waypoints():
    for point in STRAIGHT.waypoints:
        placement = place(STRAIGHT, point.at_s)
        assert placement.face_px == pytest.approx(point.face_px)
        assert placement.centre[0] == pytest.approx(point.x, abs=0.03 * point.face_px)


def test_a_straight_walk_is_even_in_the_hall_and_not_in_the_picture():
    times = np.linspace(0, 10, 21)
    depths = [1 / place(STRAIGHT, at_s).face_px for at_s in times]
    assert np.diff(depths) == pytest.approx(np.full(20, (1 / 160 - 1 / 80) / 20))


def test_a_nearer_head_is_farther_from_the_horizon():
    for at_s in np.linspace(0, 10, 50):
        placement = place(STRAIGHT, at_s)
        assert 1.19 <= (HORIZON - placement.centre[1]) / placement.face_px <= 1.24


def test_nobody_jumps_between_frames():
    for walk in WALKS:
        times = np.arange(walk.waypoints[0].at_s, walk.waypoints[-1].at_s, 1 / 15)
        placements = [place(walk, at_s) for at_s in times]
        for before, after in itertools.pairwise(placements):
            assert abs(after.centre[0] - before.centre[0]) < 0.25 * after.face_px
            assert abs(after.centre[1] - before.centre[1]) < 0.08 * after.face_px
            assert after.face_px == pytest.approx(before.face_px, rel=0.03)


def test_the_box_in_the_frame_is_where_the_map_takes_the_face():
    face = Box(100, 80, 60, 90)
    placement = place(STRAIGHT, 4)
    box, affine = placement.box(face), placement.onto(face)
    assert affine @ [*face.centre, 1] == pytest.approx(box.centre)
    top, bottom = affine @ [130, 80, 1], affine @ [130, 170, 1]
    assert np.linalg.norm(bottom - top) == pytest.approx(box.height)
    assert box.width / box.height == pytest.approx(60 / 90)


def test_a_walk_in_the_middle_of_the_picture_stays_there_while_it_comes_nearer():
    walk = Walk("Ada", (Waypoint(0, WIDTH / 2, 50), Waypoint(5, WIDTH / 2, 200)), phase=0)
    for at_s in np.linspace(0, 5, 11):
        placement = place(walk, at_s)
        assert abs(placement.centre[0] - WIDTH / 2) <= 0.021 * placement.face_px
