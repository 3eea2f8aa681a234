from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from server.domain import ColourOrder, PixelSpec
from server.inference.cuts import Canvas, Cut, Cuts, as_tensor, joined
from server.vision.preprocess import to_tensor

PLAIN = PixelSpec(ColourOrder.BGR, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def cuts(*values):
    def row(value):
        image = np.full((4, 6, 3), value, np.uint8)
        return Cut(image, Canvas(6, 4, 6, 4, (6, 4)), lambda: image)

    return Cuts(tuple(row(value) for value in values), (6, 4), PLAIN, partial(to_tensor, pixels=PLAIN))


def values(batch):
    return as_tensor(batch)[:, 0, 0, 0].tolist()


def test_a_batch_has_the_shape_that_it_will_have():
    batch = cuts(1, 2)
    assert batch.shape == batch.tensor().shape == (2, 3, 4, 6)
    assert len(batch) == 2


@pytest.mark.parametrize("part", [slice(0, 2), slice(1, None), slice(2, 3)])
def test_a_part_of_a_batch_is_that_part_of_its_tensor(part):
    batch = cuts(1, 2, 3)
    np.testing.assert_array_equal(batch[part].tensor(), batch.tensor()[part])


def test_batches_are_joined_in_their_order_without_being_made():
    batch = joined([cuts(1), cuts(2, 3), cuts(4)])
    assert isinstance(batch, Cuts)
    assert values(batch) == [1, 2, 3, 4]


def test_one_that_is_made_already_makes_the_others():
    batch = joined([cuts(1), cuts(2, 3).tensor(), cuts(4)])
    assert isinstance(batch, np.ndarray)
    assert values(batch) == [1, 2, 3, 4]


def test_a_single_batch_is_joined_to_nothing():
    made = np.zeros((2, 3, 4, 4), np.float32)
    assert joined([made]) is made
