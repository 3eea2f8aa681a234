from __future__ import annotations

import dataclasses

import pytest

from server.inference.engines.key import EngineKey
from server.inference.engines.profiles import ShapeProfile
from server.inference.precision import Precision

PROFILE = ShapeProfile((1, 3, 8, 8), (4, 3, 8, 8), (16, 3, 8, 8))
KEY = EngineKey("ab" * 32, "tensorrt-rtx", "1.7.1", "sm86", Precision.FLOAT16, (PROFILE,))


def test_equal_keys_have_one_digest_and_it_makes_a_file_name():
    again = EngineKey("ab" * 32, "tensorrt-rtx", "1.7.1", "sm86", Precision.FLOAT16, (PROFILE,))
    assert KEY.digest == again.digest
    assert len(KEY.digest) == 32
    assert KEY.digest.isalnum()


@pytest.mark.parametrize(
    "change",
    [
        {"weights_sha256": "cd" * 32},
        {"library": "tensorrt"},
        {"library_version": "1.7.2"},
        {"target": "sm89"},
        {"precision": Precision.FLOAT32},
        {"profiles": ()},
        {"profiles": (PROFILE, PROFILE)},
        {"recipe": 0},
    ],
    ids=str,
)
def test_whatever_differs_makes_another_engine(change):
    assert dataclasses.replace(KEY, **change).digest != KEY.digest
