from __future__ import annotations

import numpy as np

from demo.motion import place
from demo.script import ACTORS, ENROLLED, FPS, SECONDS, WALKS

TIMES = np.arange(FPS * SECONDS) / FPS


def present(at_s: float) -> list[str]:
    return [walk.person for walk in WALKS if walk.lasts(at_s)]


def test_nobody_walks_out_of_a_photograph_that_is_enrolled():
    assert not {actor.photo for actor in ACTORS} & set(ENROLLED)


def test_everybody_who_walks_has_a_figure():
    assert {walk.person for walk in WALKS} == {actor.photo.person for actor in ACTORS}


def test_somebody_walks_who_is_not_enrolled_and_somebody_is_enrolled_who_never_walks():
    enrolled, walking = {photo.person for photo in ENROLLED}, {walk.person for walk in WALKS}
    assert walking - enrolled
    assert enrolled - walking
    assert len(enrolled & walking) >= 3


def test_the_hall_is_sometimes_empty_and_sometimes_holds_two_people_but_never_one_person_twice():
    crowds = [present(at_s) for at_s in TIMES]
    assert [] in crowds
    assert max(len(crowd) for crowd in crowds) == 2
    assert all(len(set(crowd)) == len(crowd) for crowd in crowds)


def test_faces_are_80_to_220_pixels_high():
    for walk in WALKS:
        heights = [place(walk, at_s).face_px for at_s in TIMES if walk.lasts(at_s)]
        assert min(heights) >= 80
        assert max(heights) <= 220


def test_people_enter_and_leave_through_the_sides():
    half_width = 1.1
    for walk in WALKS:
        for point in (walk.waypoints[0], walk.waypoints[-1]):
            outside = point.x < -half_width * point.face_px or point.x > 1280 + half_width * point.face_px
            assert outside or point.at_s > SECONDS
