"""Whether this machine has an NVIDIA GPU, or stands in for one (tests/emulated_gpu)."""

from __future__ import annotations

import os
from pathlib import Path

MUST_RUN = "FACESTREAM_GPU_TESTS_MUST_RUN"
"""Set in the environment where tests that need a GPU fail, instead of being skipped, when it can't be used."""


EMULATED_KERNELS = "FACESTREAM_EMULATED_KERNELS"
"""Set in the environment where libcuda.so.1 is the emulated driver: the library that it takes kernels from."""


def gpu_is_there() -> bool:
    """Whether the driver's device is there, or the emulated driver, or there must be one; nothing is loaded for it."""
    return Path("/dev/nvidiactl").exists() or EMULATED_KERNELS in os.environ or MUST_RUN in os.environ
