from __future__ import annotations

import pytest
import torch

from trainer.loop.world import Alone, chunk_sizes, share


@pytest.mark.parametrize(("faces", "chunk"), [(1, 5), (10, 5), (11, 5), (1800, 90), (1801, 90), (7, 2)])
def test_chunks_hold_all_faces_and_are_as_equal_as_can_be(faces, chunk):
    sizes = chunk_sizes(faces, chunk)
    assert sum(sizes) == faces
    assert max(sizes) <= chunk
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == -(-faces // chunk)


@pytest.mark.parametrize(("chunks", "size"), [(1, 1), (7, 2), (8, 3), (5, 5)])
def test_processes_share_all_chunks_in_order_and_none_is_idle(chunks, size):
    shares = [share(chunks, rank, size) for rank in range(size)]
    assert [number for part in shares for number in part] == list(range(chunks))
    assert min(map(len, shares)) >= 1
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_alone_nothing_is_exchanged():
    rows = torch.ones(3, 2)
    assert Alone().gather(rows, [3]) is rows
    assert Alone().from_first(0.25) == 0.25
