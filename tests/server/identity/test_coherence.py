"""A distance to a mean of looks is worth no more than one to a single look."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.identity.coherence import as_of_one_look
from server.identity.regrouping import UnknownFace
from tests.server.identity.crowd import unit

distances = st.floats(0, 4)
coherences = st.floats(0.01, 1)


@given(distances)
def test_a_look_by_itself_is_as_far_as_it_is(distance: float) -> None:
    assert as_of_one_look(distance, 1.0) == distance


@given(st.floats(0, 2), coherences)
def test_the_cosine_shrinks_by_the_root_of_the_coherence(distance: float, coherence: float) -> None:
    cosine = 1 - distance / 2
    assert as_of_one_look(distance, coherence) == pytest.approx(2 - 2 * cosine * coherence**0.5)


@given(distances, coherences, coherences)
def test_looks_that_agree_less_are_farther_and_never_nearer(distance: float, one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert as_of_one_look(distance, less) >= as_of_one_look(distance, more) >= distance


def test_each_distance_has_its_own_coherence() -> None:
    given_, coherent = [0.5, 1.0, 1.5], [1.0, 0.25, 0.81]
    one_by_one = [as_of_one_look(d, c) for d, c in zip(given_, coherent, strict=True)]
    np.testing.assert_array_equal(as_of_one_look(given_, coherent), one_by_one)


@given(coherences, coherences)
def test_products_of_shrunk_embeddings_give_the_distance_as_of_one_look(one: float, other: float) -> None:
    first, second = unit(2, 5)
    near = (first + 2 * second) / np.linalg.norm(first + 2 * second)
    faces = [UnknownFace(key, vector, 0.9, c) for key, vector, c in ((1, first, one), (2, near, other))]
    distance = float(np.sum((first - near) ** 2))
    assert 2 - 2 * float(faces[0].shrunk @ faces[1].shrunk) == pytest.approx(
        float(as_of_one_look(distance, one * other)), abs=1e-5
    )
