"""Whether this machine has an NVIDIA GPU."""

from __future__ import annotations

from pathlib import Path

MUST_RUN = "FACESTREAM_GPU_TESTS_MUST_RUN"
"""Set in the environment where tests that need a GPU fail, instead of being skipped, when it can't be used."""


def gpu_is_there() -> bool:
    """Whether the driver's device is there; nothing is loaded to find out."""
    return Path("/dev/nvidiactl").exists()
