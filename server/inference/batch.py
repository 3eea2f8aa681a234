"""Batches in a few fixed sizes, so that no library keeps buffers for every length that ever came."""

from __future__ import annotations

import numpy as np

from server.inference.backend import Backend, Tensor

BUCKETS = (1, 2, 4, 8, 16, 32)
"""Lengths that a backend ever sees, ascending."""


def split(length: int) -> tuple[int, ...]:
    """Lengths of the parts that a batch is cut into: as few as possible, only the last below the largest bucket.

    Raises:
        ValueError: when `length` is below 1.
    """
    if length < 1:
        raise ValueError(f"a batch has at least one row, not {length}")
    full, rest = divmod(length, BUCKETS[-1])
    return (BUCKETS[-1],) * full + ((rest,) if rest else ())


def bucket(length: int) -> int:
    """The smallest bucket that holds `length` rows.

    Raises:
        ValueError: when none does.
    """
    for size in BUCKETS:
        if 1 <= length <= size:
            return size
    raise ValueError(f"{length} rows fit no bucket of {BUCKETS}")


def pad(batch: Tensor) -> Tensor:
    """The batch (N, ...) filled up to its bucket with copies of its last row.

    Copies, not zeros: a network that divides by its input's norm would answer zeros with NaN.
    """
    missing = bucket(len(batch)) - len(batch)
    if not missing:
        return batch
    return np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)])


def run_in_buckets(backend: Backend, batch: Tensor) -> tuple[Tensor, ...]:
    """What `backend.run(batch)` gives, with batches in bucket sizes only.

    Raises:
        InferenceError: as `Backend.run`.
    """
    if not len(batch):
        return backend.run(batch)
    ends = np.cumsum(split(len(batch)))
    parts = np.split(batch, ends[:-1])
    answers = [[out[: len(part)] for out in backend.run(pad(part))] for part in parts]
    return tuple(np.concatenate(outputs) for outputs in zip(*answers, strict=True))
