from __future__ import annotations

import numpy as np
import pytest

from server.identity.rows import TemplateRows
from tests.server.identity.crowd import DIMENSION, unit


def rows(*keys: int) -> TemplateRows:
    return TemplateRows.empty(DIMENSION).appended(np.array(keys), np.array(keys) * 10, unit(len(keys), sum(keys)))


def test_a_view_keeps_its_rows_while_the_arena_grows_under_a_later_one() -> None:
    first = rows(1, 2, 3)
    kept = first.vectors.copy()
    later = first
    for key in range(4, 200):
        later = later.appended(np.array([key]), np.array([key]), unit(1, key))
    assert first.keys.tolist() == [1, 2, 3]
    assert np.array_equal(first.vectors, kept)
    assert later.count == 199
    assert np.array_equal(later.vectors[:3], kept)


def test_two_views_that_grow_from_one_don_t_share_their_new_rows() -> None:
    first = rows(1, 2)
    one = first.appended(np.array([3]), np.array([30]), unit(1, 30))
    other = first.appended(np.array([4]), np.array([40]), unit(1, 40))
    assert (one.keys.tolist(), other.keys.tolist()) == ([1, 2, 3], [1, 2, 4])
    assert np.array_equal(one.vectors[2], unit(1, 30)[0])
    assert np.array_equal(other.vectors[2], unit(1, 40)[0])


def test_nothing_appended_is_the_same_view() -> None:
    first = rows(1)
    assert first.appended(np.array([], np.int64), np.array([], np.int64), unit(0, 0)) is first


def test_a_removed_row_is_dead_in_the_new_view_alone() -> None:
    first = rows(1, 2, 3)
    later = first.without(np.array([2, 77]))
    assert (first.living, later.living) == (3, 2)
    assert later.alive.tolist() == [True, False, True]


def test_positions_skip_keys_that_are_not_there() -> None:
    assert rows(2, 5, 9).positions(np.array([9, 1, 5, 10])).tolist() == [2, 1]


def test_compacting_keeps_the_living_rows_and_nothing_of_the_dead() -> None:
    whole = rows(1, 2, 3, 4)
    compacted = whole.without(np.array([2, 3])).compacted()
    assert compacted.keys.tolist() == [1, 4]
    assert compacted.owners.tolist() == [10, 40]
    assert np.array_equal(compacted.vectors, whole.vectors[[0, 3]])
    assert compacted.alive.all()


def test_compacted_rows_catch_up_with_what_came_and_went_meanwhile() -> None:
    before = rows(1, 2, 3, 4).without(np.array([2]))
    base = before.compacted()
    current = before.appended(np.array([5, 6]), np.array([50, 60]), unit(2, 9)).without(np.array([3, 6]))
    caught = base.caught_up(current)
    assert caught.keys[caught.alive].tolist() == [1, 4, 5]
    assert np.array_equal(caught.vectors[caught.alive], current.vectors[current.alive])


def test_rows_catch_up_when_the_arena_was_outgrown_meanwhile() -> None:
    before = rows(*range(1, 17))
    current = before.appended(np.arange(17, 90), np.arange(17, 90), unit(73, 5)).without(np.array([3]))
    caught = before.caught_up(current)
    assert caught.keys[:16].tolist() == before.keys.tolist()
    assert caught.keys[caught.alive].tolist() == current.keys[current.alive].tolist()


def test_keys_that_don_t_ascend_are_refused() -> None:
    with pytest.raises(ValueError, match="must ascend"):
        rows(3, 3)
