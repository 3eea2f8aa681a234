from __future__ import annotations

import pytest

from server.inference.gpu.device import Trouble
from server.inference.gpu.loss import LOST, trouble_in, trouble_of


@pytest.mark.parametrize("code", LOST)
def test_an_error_that_the_context_does_not_survive_is_a_loss_by_its_code_and_by_its_words(code):
    assert trouble_of(code) is Trouble.LOST
    assert trouble_in(f"cuEventSynchronize failed: {LOST[code]}") is Trouble.LOST
    assert trouble_in(f"Error Code 1: Cuda Runtime ({LOST[code]})") is Trouble.LOST


@pytest.mark.parametrize("code", LOST)
def test_the_codes_are_those_of_cuda(code):
    driver = pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")
    assert getattr(driver.CUresult, code).name == code


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("CUDA_ERROR_INVALID_VALUE", "invalid argument"),
        ("CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"),
        ("CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"),
        ("CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture"),
        ("CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"),
    ],
)
def test_other_errors_are_failures_of_one_call(code, words):
    assert trouble_of(code) is Trouble.FAILED
    assert trouble_in(f"cuLaunchKernel failed: {words}") is Trouble.FAILED


@pytest.mark.parametrize("said", ["cuMemAlloc failed: out of memory", "CUDA error 2: OutOfMemory", "cudaError 2: no"])
def test_memory_that_ran_out_is_neither(said):
    assert trouble_of("CUDA_ERROR_OUT_OF_MEMORY") is Trouble.OUT_OF_MEMORY
    assert trouble_in(said) is Trouble.OUT_OF_MEMORY
