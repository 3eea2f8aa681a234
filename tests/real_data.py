"""Where the real faces and clips lie that are not part of the project."""

from __future__ import annotations

import os
from pathlib import Path

_PROJECT = Path(__file__).resolve().parent.parent


def data_folder() -> Path:
    """FACESTREAM_TEST_DATA, or ../shared/data beside the project."""
    named = os.environ.get("FACESTREAM_TEST_DATA")
    return Path(named) if named else _PROJECT.parent / "shared" / "data"
