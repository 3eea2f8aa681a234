from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from server.errors import EmbeddingError
from server.identity.vectors import check_embedding, check_embeddings
from tests.server.identity.crowd import unit


def spoilt(value: float) -> NDArray[np.float32]:
    vectors = unit(3, 0)
    vectors[1, 2] = value
    return vectors


def test_unit_vectors_pass_unchanged() -> None:
    vectors = unit(5, 0)
    assert np.array_equal(check_embeddings(vectors, 16, "embeddings"), vectors)


def test_no_vectors_at_all_pass() -> None:
    assert check_embeddings(np.zeros((0, 16), np.float32), 16, "embeddings").shape == (0, 16)


def test_a_strided_view_comes_back_contiguous() -> None:
    checked = check_embeddings(np.asfortranarray(unit(4, 0)), 16, "embeddings")
    assert checked.flags.c_contiguous


def test_rounding_of_half_precision_is_tolerated() -> None:
    check_embeddings(unit(50, 1).astype(np.float16).astype(np.float32), 16, "embeddings")


@pytest.mark.parametrize(
    ("vectors", "reason", "field"),
    [
        (spoilt(np.nan), "EMBEDDING_NOT_FINITE", "probe[1]"),
        (spoilt(np.inf), "EMBEDDING_NOT_FINITE", "probe[1]"),
        (spoilt(-np.inf), "EMBEDDING_NOT_FINITE", "probe[1]"),
        (np.stack([unit(1, 0)[0], np.zeros(16, np.float32)]), "EMBEDDING_ZERO", "probe[1]"),
        (spoilt(1e30), "EMBEDDING_NOT_UNIT", "probe[1]"),
        (unit(2, 0) * np.float32(1.01), "EMBEDDING_NOT_UNIT", "probe[0]"),
        (np.full((1, 16), 1e-42, np.float32), "EMBEDDING_NOT_UNIT", "probe[0]"),
        (unit(2, 0, dimension=8), "EMBEDDING_DIMENSION", "probe"),
        (unit(2, 0)[0], "EMBEDDING_DIMENSION", "probe"),
        (np.zeros((2, 0), np.float32), "EMBEDDING_DIMENSION", "probe"),
        (unit(2, 0).astype(np.float64), "EMBEDDING_DTYPE", "probe"),
        (unit(2, 0).astype(">f4"), "EMBEDDING_DTYPE", "probe"),
        (unit(2, 0).tolist(), "EMBEDDING_DTYPE", "probe"),
    ],
)
def test_what_is_no_unit_vector_is_refused_by_reason_and_field(
    vectors: NDArray[np.float32], reason: str, field: str
) -> None:
    with pytest.raises(EmbeddingError) as refusal:
        check_embeddings(vectors, 16, "probe")
    assert (refusal.value.reason, refusal.value.field) == (reason, field)


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        (np.zeros(16, np.float32), "EMBEDDING_ZERO"),
        (spoilt(np.nan)[1], "EMBEDDING_NOT_FINITE"),
        (unit(1, 0), "EMBEDDING_DIMENSION"),
        (unit(1, 0, dimension=15)[0], "EMBEDDING_DIMENSION"),
        (unit(1, 0)[0].astype(np.float16), "EMBEDDING_DTYPE"),
    ],
)
def test_one_bad_vector_is_refused_under_the_field_given(vector: NDArray[np.float32], reason: str) -> None:
    with pytest.raises(EmbeddingError) as refusal:
        check_embedding(vector, 16, "templates[3].embedding")
    assert (refusal.value.reason, refusal.value.field) == (reason, "templates[3].embedding")
