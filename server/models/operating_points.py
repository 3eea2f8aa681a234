"""The measured thresholds of the default embedders; `make bench-accuracy` measures and writes them."""

from __future__ import annotations

import json
from pathlib import Path

from server.inference.parts import OperatingPoint

OPERATING_POINTS_FILE = Path(__file__).with_name("operating_points.json")


def measured(model: str) -> tuple[tuple[OperatingPoint, ...], str]:
    """The operating points of NAME/VERSION, and what they were fitted on."""
    entry = json.loads(OPERATING_POINTS_FILE.read_text())[model]
    points = tuple(OperatingPoint(**point) for point in entry["points"])
    return points, entry["fitted_on"]
