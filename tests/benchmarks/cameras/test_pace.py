"""Recall counts faces that another run shows in the same frame."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.cameras.pace import found


def boxes(*corners):
    return np.asarray(corners, np.float32).reshape(-1, 4)


def test_a_face_counts_when_a_box_of_the_same_frame_covers_half_of_what_both_cover():
    faces = [boxes((0, 0, 10, 10), (50, 50, 60, 60)), boxes((0, 0, 10, 10))]
    others = [boxes((1, 0, 11, 10)), boxes((8, 8, 18, 18))]
    assert found(faces, others) == pytest.approx(1 / 3)
    assert found(others, faces) == pytest.approx(1 / 2)


def test_where_there_is_no_face_none_is_missed():
    assert found([boxes()], [boxes((0, 0, 10, 10))]) == 1.0
    assert found([boxes((0, 0, 10, 10))], [boxes()]) == 0.0
