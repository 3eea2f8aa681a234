"""The measured thresholds of the default embedders; `make bench-accuracy` measures and writes them.

The calibrations beside them come from `python -m tests.benchmarks.clusters --write-calibration`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

from server.inference.parts import Calibration, OperatingPoint

OPERATING_POINTS_FILE = Path(__file__).with_name("operating_points.json")


class Measured(TypedDict):
    """The fields of an embedder's manifest that are measured."""

    operating_points: tuple[OperatingPoint, ...]
    fitted_on: str
    calibration: Calibration | None


def measured(model: str) -> Measured:
    """The operating points of NAME/VERSION, what they were fitted on, and the calibration where there is one."""
    entry = json.loads(OPERATING_POINTS_FILE.read_text())[model]
    points = tuple(OperatingPoint(**point) for point in entry["points"])
    calibration = Calibration(**entry["calibration"]) if "calibration" in entry else None
    return Measured(operating_points=points, fitted_on=entry["fitted_on"], calibration=calibration)
