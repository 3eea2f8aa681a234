from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from trainer.data.catalog import Catalog
from trainer.data.doubts import ROWS, duplicates, suspects, write_doubts


@pytest.fixture
def crops():
    """Five people with six crops each; crop 8 is of person 3 though labelled 1, crops 4 and 20 are copies of others."""
    drawn = np.random.default_rng(0)
    labels = np.repeat(np.arange(5), 6)
    points = drawn.normal(size=(5, 16))[labels] + 0.3 * drawn.normal(size=(30, 16))
    points[8] = points[labels == 3].mean(axis=0) + 0.1 * drawn.normal(size=16)
    points[4], points[20] = points[0], points[11]
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), labels


def squared(left, right):
    return sum((float(a) - float(b)) ** 2 for a, b in zip(left, right, strict=True))


def test_suspects_agree_with_a_naive_loop_and_name_whom_they_resemble(crops):
    embeddings, labels = crops
    naive = {}
    for i in range(30):
        means = []
        for person in range(5):
            others = [j for j in range(30) if labels[j] == person and j != i]
            means.append(sum(squared(embeddings[i], embeddings[j]) for j in others) / len(others))
        if means[labels[i]] > 1.0:
            naive[i] = (means[labels[i]], int(np.argmin(means)), min(means))
    found = suspects(embeddings, labels, 1.0)
    assert {item.crop for item in found} == set(naive)
    for item in found:
        want = naive[item.crop]
        assert item.resembles == want[1]
        assert (item.distance, item.distance_to_them) == pytest.approx((want[0], want[2]), abs=1e-5)
    assert {8: 3, 20: 1}.items() <= {item.crop: item.resembles for item in found}.items()
    assert [item.distance for item in found] == sorted((item.distance for item in found), reverse=True)


def test_a_person_with_a_single_crop_is_never_suspected():
    embeddings = np.eye(3, dtype=np.float32)
    assert suspects(embeddings, np.array([0, 1, 2]), 0.5) == ()


def test_of_two_crops_that_differ_both_are_suspected():
    embeddings = np.eye(4, dtype=np.float32)[[0, 1, 2, 2]]
    assert {item.crop for item in suspects(embeddings, np.array([0, 0, 1, 1]), 0.5)} == {0, 1}


def test_copies_are_found_within_a_person_and_across(crops):
    embeddings, _ = crops
    assert [(item.first, item.second) for item in duplicates(embeddings)] == [(0, 4), (11, 20)]
    assert all(item.distance < 1e-6 for item in duplicates(embeddings))


def test_copies_are_found_across_the_rows_that_are_looked_at_together():
    points = np.random.default_rng(0).normal(size=(ROWS + 5, 32))
    points[ROWS + 3] = points[2]
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    assert [(d.first, d.second) for d in duplicates(points.astype(np.float32))] == [(2, ROWS + 3)]


def test_the_list_names_files_and_people(crops, tmp_path):
    embeddings, labels = crops
    catalog = Catalog(tuple(Path(f"{i}.jpg") for i in range(30)), labels, tuple("abcde"))
    write_doubts(tmp_path, catalog, suspects(embeddings, labels, 1.0), duplicates(embeddings))
    with (tmp_path / "doubts.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert ("label", "8.jpg", "d") in [(row["doubt"], row["crop"], row["resembles"]) for row in rows]
    assert ("duplicate", "0.jpg", "4.jpg") in [(row["doubt"], row["crop"], row["resembles"]) for row in rows]
