"""The gate that every embedding passes before it enters or queries a gallery.

One NaN in an HNSW graph spoils the answers for everybody, and a zero vector is near to no one in particular.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from server.domain import Embedding, Embeddings
from server.errors import EmbeddingError

UNIT_TOLERANCE = 1e-3
"""How far an embedding's L2 norm may be from 1."""


def check_embeddings(vectors: NDArray[np.float32], dimension: int, field: str) -> Embeddings:
    """The same (N, D) array, C-contiguous, when every row is a finite unit vector.

    Args:
        vectors: what came.
        dimension: D.
        field: request field that the error names, with the row's number behind it.

    Raises:
        EmbeddingError: for another dtype, shape or dimension, and for rows with NaN, infinity or a norm off 1.
    """
    _check_form(vectors, ("N", dimension), field)
    if len(vectors):
        row, fault = _first_fault(vectors)
        if fault:
            raise _error(fault, f"{field}[{row}]")
    return np.ascontiguousarray(vectors)


def check_embedding(vector: NDArray[np.float32], dimension: int, field: str) -> Embedding:
    """The same (D,) array, C-contiguous, when it is a finite unit vector.

    Raises:
        EmbeddingError: as `check_embeddings`.
    """
    _check_form(vector, (dimension,), field)
    _, fault = _first_fault(vector[None])
    if fault:
        raise _error(fault, field)
    return np.ascontiguousarray(vector)


def _check_form(array: NDArray[np.float32], shape: tuple[int | str, ...], field: str) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != np.float32:
        kind = getattr(array, "dtype", type(array).__name__)
        raise EmbeddingError(
            "EMBEDDING_DTYPE",
            f"an embedding is {kind}; it must be a float32 array in the machine's byte order",
            field=field,
        )
    if array.ndim != len(shape) or array.shape[-1] != shape[-1]:
        wanted = ", ".join(map(str, shape))
        raise EmbeddingError(
            "EMBEDDING_DIMENSION",
            f"an embedding has shape {array.shape}; it must be ({wanted}), made by the model of this gallery",
            field=field,
        )


def _first_fault(vectors: NDArray[np.float32]) -> tuple[int, tuple[str, str] | None]:
    """The first faulty row and its fault: a reason and what is wrong."""
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        return int(np.argmin(finite)), (
            "EMBEDDING_NOT_FINITE",
            "holds NaN or infinity; embed the photo again",
        )
    wide = vectors.astype(np.float64)
    norms = np.sqrt(np.vecdot(wide, wide))
    wrong = np.abs(norms - 1) > UNIT_TOLERANCE
    row = int(np.argmax(wrong))
    if not wrong[row]:
        return 0, None
    if norms[row] == 0:
        return row, ("EMBEDDING_ZERO", "is all zeros; embed the photo again")
    return row, (
        "EMBEDDING_NOT_UNIT",
        f"has L2 norm {norms[row]:.6g}, which must be 1 within {UNIT_TOLERANCE}; divide it by its norm",
    )


def _error(fault: tuple[str, str], field: str) -> EmbeddingError:
    return EmbeddingError(fault[0], f"the embedding {fault[1]}", field=field)
