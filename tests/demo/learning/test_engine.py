from __future__ import annotations

from pathlib import Path

import pytest

from demo.learning.engine import engine_order


def finder(*installed):
    return lambda name: name if name in installed else None


def test_an_engine_is_ordered_where_one_can_be_built_without_a_gpu():
    order = engine_order(Path("/cache"), finder("tensorrt_rtx"))
    assert order.flags == ("--engine", "f16", "--engines-dir", "/cache")
    assert not order.why_not


@pytest.mark.parametrize(
    ("installed", "reason"),
    [
        ((), "TensorRT-RTX is not installed"),
        (("tensorrt",), "only on the GPU"),
        (("tensorrt", "tensorrt_rtx"), "only on"),
    ],
)
def test_where_none_can_be_built_it_says_why(installed, reason):
    order = engine_order(Path("/cache"), finder(*installed))
    assert order.flags == ()
    assert reason in order.why_not
