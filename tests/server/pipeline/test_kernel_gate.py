from __future__ import annotations

import numpy as np
import pytest

from server.inference.gpu.fake import fake_device, opencv_kernels
from server.inference.gpu.worker import GpuWorker
from server.pipeline.kernel_gate import judge_kernels
from tests.host_kernels import COMPILER, host_compiler


@pytest.mark.parametrize("kernels", ["opencv", "compiled"])
def test_kernels_that_make_what_the_cpu_makes_pass(kernels, tmp_path):
    if kernels == "compiled" and COMPILER is None:
        pytest.skip("no g++")
    worker = GpuWorker(fake_device(compiler=opencv_kernels if kernels == "opencv" else host_compiler(tmp_path)))
    verdict = judge_kernels(worker.make)
    worker.close()
    assert verdict.passed
    assert "at most 1" in verdict.finding


@pytest.mark.parametrize(
    "spoil",
    [
        lambda made: made[:, ::-1],
        lambda made: np.roll(made, 1, axis=3),
        lambda made: made * np.nan,
        lambda made: made + 2,
    ],
    ids=["colours swapped", "one pixel aside", "not a number", "two levels brighter"],
)
def test_kernels_that_make_something_else_do_not(spoil):
    assert not judge_kernels(lambda cuts: spoil(cuts.tensor())).passed
