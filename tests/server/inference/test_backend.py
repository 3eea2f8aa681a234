"""The fake backend does what its arguments say; tests/conformance/test_backend.py holds it to the contract."""

from __future__ import annotations

import numpy as np
import pytest

from server.errors import InferenceError
from server.inference.backend import FakeBackend

BATCH = np.ones((2, 3, 4, 4), np.float32)


def test_every_batch_is_noted_with_its_shape():
    backend = FakeBackend(lambda batch: (batch,))
    backend.run(BATCH)
    backend.run(BATCH[:1])
    assert backend.calls == [(2, 3, 4, 4), (1, 3, 4, 4)]


def test_a_failure_is_raised_as_that_of_a_library():
    backend = FakeBackend(lambda batch: (batch,), name="glass", failure=RuntimeError("it broke"))
    with pytest.raises(InferenceError, match="glass failed: it broke") as caught:
        backend.run(BATCH)
    assert caught.value.reason == "BACKEND_FAILED"
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize(
    "output",
    [
        np.full((2, 4), np.nan, np.float32),
        np.ones((3, 4), np.float32),
        np.ones((2, 4), np.float64),
        np.float32(1),
    ],
    ids=["nan", "too long", "float64", "scalar"],
)
def test_an_answer_that_breaks_the_contract_is_an_error(output):
    with pytest.raises(InferenceError) as caught:
        FakeBackend(lambda _: (np.asarray(output),)).run(BATCH)
    assert caught.value.reason == "OUTPUT_INVALID"
