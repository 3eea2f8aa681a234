from __future__ import annotations

from demo.learning.people import invent, pose


def test_somebody_stays_the_same_and_nobody_else_is_like_them():
    assert invent(7) == invent(7)
    assert len({invent(seed) for seed in range(50)}) == 50


def test_every_photo_has_its_own_circumstances():
    assert pose(7, 1) == pose(7, 1)
    assert len({pose(person, number) for person in range(5) for number in range(5)}) == 25
