from __future__ import annotations

import numpy as np
import pytest

from demo.cutout import Cutout
from demo.geometry import Box
from demo.hall import HEIGHT, WIDTH, draw_counter
from demo.motion import Walk, Waypoint
from demo.scene import Scene, figures_at, presences, render, visibility

FACE = Box(70, 30, 60, 80)


def figure(colour: tuple[int, int, int]) -> Cutout:
    """A cardboard person: an opaque rectangle with a face of this colour."""
    image = np.full((240, 200, 3), 40, np.uint8)
    image[30:110, 70:130] = colour
    return Cutout(image, np.ones((240, 200), np.float32), FACE)


def standing(person: str, x: float, face_px: float) -> Walk:
    return Walk(person, (Waypoint(-100, x, face_px), Waypoint(100, x, face_px)), phase=0)


def scene(*walks: Walk, seconds: float = 0.2) -> Scene:
    colours = {"Ada": (30, 30, 220), "Bob": (220, 30, 30)}
    return Scene({name: figure(colour) for name, colour in colours.items()}, walks, 15, seconds)


def test_visibility_equals_counting_uncovered_pixels():
    cover = (np.random.default_rng(2).random((60, 80)) < 0.3).astype(np.float32)
    for box in (Box(5, 6, 20, 30), Box(-10, -5, 30, 20), Box(70, 50, 30, 30), Box(90, 10, 10, 10), Box(-30, 3, 20, 20)):
        shown = 0.0
        for y in range(60):
            for x in range(80):
                inside = box.left <= x < box.left + box.width and box.top <= y < box.top + box.height
                shown += inside * (1 - cover[y, x])
        assert visibility(box, cover) == pytest.approx(shown / box.area)


def test_the_face_is_drawn_where_the_truth_says():
    frame, (ada,) = next(render(scene(standing("Ada", 500, 120))))
    red = (frame[:, :, 2].astype(int) - frame[:, :, 0]) > 90
    rows, columns = np.nonzero(red)
    found = Box(columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
    assert found.overlap(ada.box) > 0.85


def test_a_nearer_person_hides_a_farther_one():
    counter = draw_counter()[1]
    (near,) = presences(figures_at(scene(standing("Bob", 640, 180), standing("Ada", 640, 90)), 0), counter)
    assert near.person == "Bob"
    assert near.visible > 0.99


def test_a_face_half_behind_a_nearer_person_is_half_visible():
    counter = draw_counter()[1]
    edge = 640 + (200 - FACE.centre[0]) * 180 / FACE.height
    far, near = presences(figures_at(scene(standing("Bob", 640, 180), standing("Ada", edge, 90)), 0), counter)
    assert (far.person, near.person) == ("Ada", "Bob")
    assert far.visible == pytest.approx(0.5, abs=0.15)


def test_people_side_by_side_are_both_visible():
    counter = draw_counter()[1]
    seen = presences(figures_at(scene(standing("Bob", 300, 150), standing("Ada", 900, 150)), 0), counter)
    assert all(presence.visible > 0.99 for presence in seen)


def test_half_a_face_at_the_edge_of_the_frame_is_half_visible():
    counter = draw_counter()[1]
    (ada,) = presences(figures_at(scene(standing("Ada", WIDTH, 120)), 0), counter)
    assert ada.visible == pytest.approx(0.5, abs=0.06)


def test_people_outside_the_frame_are_not_in_the_truth():
    _, present = next(render(scene(standing("Ada", -400, 120), standing("Bob", WIDTH + 60, 100))))
    assert present == ()


def test_the_same_scene_gives_the_same_frames():
    first, second = (list(render(scene(standing("Ada", 500, 120)))) for _ in range(2))
    assert len(first) == 3
    for (one, truth_one), (two, truth_two) in zip(first, second, strict=True):
        assert one.shape == (HEIGHT, WIDTH, 3)
        assert np.array_equal(one, two)
        assert truth_one == truth_two
