"""A track needs no second sighting when looks that are spread over time agree."""

from __future__ import annotations

import numpy as np
import pytest

from server.domain import Look
from server.identity.corroboration import corroborated
from tests.server.identity.unknown_crowd import DIMENSION, SETTINGS, look

LONG = SETTINGS.corroborating_ns
LEAST = SETTINGS.min_quality


def seen(*times: float, person: int = 1, quality: float = LEAST) -> list[Look]:
    """Looks at a person; times in the least that they must be spread over."""
    return [Look(look(person, round(10 * time)), quality, round(time * LONG)) for time in times]


def test_looks_that_are_spread_over_time_and_agree_corroborate_each_other_in_any_order():
    assert corroborated(seen(0, 0.5, 1), SETTINGS)
    assert corroborated(seen(1, 0, 0.5), SETTINGS)


@pytest.mark.parametrize("times", [(), (0,), (0, 1), (0, 5), (0, 0.1, 0.2, 0.3, 0.9), (4.2, 4.6, 5.1)])
def test_few_looks_and_looks_of_a_moment_don_t(times):
    assert not corroborated(seen(*times), SETTINGS)


def test_illegible_looks_neither_count_nor_object():
    poor = LEAST - 0.01
    assert not corroborated([*seen(0, 1), *seen(2, quality=poor)], SETTINGS)
    assert not corroborated([*seen(0, 0.2, 0.4), *seen(2, quality=poor)], SETTINGS)
    assert corroborated([*seen(0, 1, 2), *seen(3, person=2, quality=poor)], SETTINGS)


def test_one_look_at_somebody_else_spoils_it():
    assert not corroborated([*seen(0, 1, 2), *seen(3, person=2)], SETTINGS)


def test_every_two_must_be_as_near_as_a_second_face_that_promotes():
    def fan(degrees: float) -> list[Look]:
        looks = []
        for i in range(3):
            vector = np.zeros(DIMENSION, np.float32)
            vector[:2] = np.cos(np.radians(i * degrees / 2)), np.sin(np.radians(i * degrees / 2))
            looks.append(Look(vector, LEAST, i * LONG))
        return looks

    widest = np.degrees(np.arccos(1 - SETTINGS.promote(1) / 2))
    assert corroborated(fan(widest - 0.1), SETTINGS)
    assert not corroborated(fan(widest + 0.1), SETTINGS)
