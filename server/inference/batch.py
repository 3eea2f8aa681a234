"""Batches in a few fixed sizes, so that no library keeps buffers for every length that ever came."""

from __future__ import annotations

import numpy as np

from server.inference.backend import Backend, Tensor
from server.inference.cuts import Batch, as_tensor

BUCKETS = (1, 2, 4, 8, 16, 32)
"""Lengths that a backend ever sees, ascending."""

CPU_WASTE = 1 / 16
"""Share of padding that is worth a call less on a processor, whose time per row hardly depends on the batch.

Measured with the default embedders: a row in a batch of 8 takes 0.8 to 1.2 times what it takes alone.
"""


def plan(length: int, *, waste: float = CPU_WASTE) -> tuple[int, ...]:
    """Buckets, largest first, that together hold `length` rows; only the last may have rows to spare.

    Args:
        length: rows, at least 1.
        waste: the largest share of spare rows in a bucket, 0 (never pad, split instead) to 1 (never split below the
            largest bucket, pad instead, as a GPU likes it).

    Raises:
        ValueError: when `length` is below 1.
    """
    if length < 1:
        raise ValueError(f"a batch has at least one row, not {length}")
    buckets: list[int] = []
    while length > 0:
        size = _bucket(length, waste)
        buckets.append(size)
        length -= size
    return tuple(buckets)


def _bucket(length: int, waste: float) -> int:
    """The smallest bucket that holds all rows without too much padding, else the largest that they fill."""
    roomy = next((size for size in BUCKETS if size >= length), BUCKETS[-1])
    if roomy - length <= waste * roomy:
        return roomy
    return max(size for size in BUCKETS if size <= length)


def pad(batch: Tensor, size: int) -> Tensor:
    """The batch (N, ...) filled up to `size` rows with copies of its last row.

    Copies, not zeros: a network that divides by its input's norm would answer zeros with NaN.
    """
    missing = size - len(batch)
    if not missing:
        return batch
    return np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)])


def run_in_buckets(backend: Backend, batch: Batch, *, waste: float = CPU_WASTE) -> tuple[Tensor, ...]:
    """What `backend.run(batch)` gives, with batches in bucket sizes only.

    Args:
        backend: runs the parts.
        batch: (N, 3, H, W) float32, any N >= 1, made or not; it is made here.
        waste: as in `plan`.

    Raises:
        InferenceError: as `Backend.run`.
    """
    if not len(batch):
        return backend.run(batch)
    batch = as_tensor(batch)
    answers = []
    start = 0
    for size in plan(len(batch), waste=waste):
        part = batch[start : start + size]
        answers.append([output[: len(part)] for output in backend.run(pad(part, size))])
        start += size
    if len(answers) == 1:
        return tuple(answers[0])
    return tuple(np.concatenate(outputs) for outputs in zip(*answers, strict=True))
