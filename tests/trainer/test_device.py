from __future__ import annotations

import pytest

from trainer.device import device_named
from trainer.errors import RecipeError


@pytest.mark.parametrize(
    ("name", "gpu", "device"),
    [
        ("cpu", True, "cpu"),
        ("cuda", True, "cuda"),
        ("auto", True, "cuda"),
        ("auto", False, "cpu"),
        ("cpu", False, "cpu"),
    ],
)
def test_a_gpu_is_taken_where_it_is_wanted_and_there(name, gpu, device):
    assert device_named(name, lambda: gpu).type == device


def test_a_gpu_that_is_not_there_is_refused_with_what_to_do():
    with pytest.raises(RecipeError, match=r"finds no GPU.*--device cpu"):
        device_named("cuda", lambda: False)


def test_an_unknown_device_is_refused_with_those_that_are_known():
    with pytest.raises(RecipeError, match=r"'tpu'; choose one of cpu, cuda, auto"):
        device_named("tpu", lambda: True)
