from __future__ import annotations

import csv
import itertools

import pytest

from demo.learning.photographs import ENROLLED_FROM, FULL, TINY, numbers, visitors, write_pairs


@pytest.mark.parametrize("cast", [FULL, TINY])
def test_nobody_is_there_for_two_things(cast):
    parts = numbers(cast)
    assert [len(part) for part in parts] == [cast.learnt[0], cast.judged[0], cast.enrolled[0], cast.strangers[0]]
    assert all(not set(one) & set(other) for one, other in itertools.combinations(parts, 2))


def test_visitors_are_shown_in_other_photos_than_they_are_enrolled_with(tmp_path):
    came = visitors(tmp_path, TINY)
    assert [len(visitor.enrolled) for visitor in came] == [ENROLLED_FROM] * 2 + [0] * 2
    assert [len(visitor.shown) for visitor in came] == [TINY.enrolled[1] - ENROLLED_FROM] * 2 + [2] * 2
    for visitor in came:
        assert not set(visitor.enrolled) & set(visitor.shown)
        assert all(photo.stat().st_size > 0 for photo in (*visitor.enrolled, *visitor.shown))


def test_the_list_has_all_pairs_of_one_person_and_so_many_of_two(tmp_path):
    for person, photos in (("a", 3), ("b", 2)):
        (tmp_path / "crops" / person).mkdir(parents=True)
        for number in range(photos):
            (tmp_path / "crops" / person / f"{number}.jpg").touch()
    assert write_pairs(tmp_path / "pairs.csv", tmp_path / "crops", 4) == 8
    rows = list(csv.DictReader((tmp_path / "pairs.csv").read_text().splitlines()))
    same = [(row["left"], row["right"]) for row in rows if row["same"] == "1"]
    assert same == [("a/0.jpg", "a/1.jpg"), ("a/0.jpg", "a/2.jpg"), ("a/1.jpg", "a/2.jpg"), ("b/0.jpg", "b/1.jpg")]
    assert {(row["left"][0], row["right"][0]) for row in rows if row["same"] == "0"} == {("a", "b")}
