"""Cores are shared out among lanes."""

from __future__ import annotations

import pytest

from server.errors import InvalidInputError
from server.inference.cores import Cores, share_out


@pytest.mark.parametrize(
    ("cores", "share"),
    [(1, Cores(1, 1)), (2, Cores(1, 2)), (4, Cores(1, 4)), (8, Cores(2, 4)), (64, Cores(16, 4)), (7, Cores(1, 4))],
)
def test_every_core_gets_a_lane_up_to_four_and_the_rest_are_divided(cores, share):
    assert share_out(cores) == share


def test_what_is_given_is_kept():
    assert share_out(8, threads=3) == Cores(3, 4)
    assert share_out(8, lanes=2) == Cores(4, 2)
    assert share_out(8, threads=5, lanes=7) == Cores(5, 7)


@pytest.mark.parametrize("wrong", [(0, 1), (1, 0), (-1, 1)])
def test_a_network_needs_a_thread_and_a_lane(wrong):
    with pytest.raises(InvalidInputError, match="at least 1"):
        Cores(*wrong)
