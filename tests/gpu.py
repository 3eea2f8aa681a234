"""Whether this machine has an NVIDIA GPU."""

from __future__ import annotations

from pathlib import Path


def gpu_is_there() -> bool:
    """Whether the driver's device is there; nothing is loaded to find out."""
    return Path("/dev/nvidiactl").exists()
