"""docs/models.md is true: its example runs, its table has every field, its errors exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from server.inference.manifest import Manifest
from server.inference.parts import (
    Calibration,
    Detector,
    Embedder,
    Input,
    OperatingPoint,
    Pixels,
    StatedSource,
    WheelSource,
)
from server.models.catalogue import CATALOGUE

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/models.md").read_text()
PARTS: dict[str, tuple[type[BaseModel], ...]] = {
    "": (Manifest,),
    "input.": (Input,),
    "input.pixels.": (Pixels,),
    "detector.": (Detector,),
    "embedder.": (Embedder,),
    "embedder.operating_points.": (OperatingPoint,),
    "embedder.calibration.": (Calibration,),
    "source.": (WheelSource, StatedSource),
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def execute(command: list[str], folder: Path) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, timeout=100)


def test_the_worked_example_makes_a_model_that_passes_and_runs(tmp_path):
    python, shell = blocks("python"), blocks("console")
    done = execute([sys.executable, "-c", "\n".join(python)], tmp_path)
    assert done.returncode == 0, done.stderr
    (line,) = shell
    words = line.split()
    assert words[:2] == ["$", "facestream-models"]
    code = "from server.models.cli import main; main()"
    done = execute([sys.executable, "-c", code, *words[2:], "--models-dir", "models"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "mean-colours/v1" in done.stdout


def test_the_table_names_every_field_and_no_other():
    known = {
        prefix + (field.alias or name)
        for prefix, models in PARTS.items()
        for model in models
        for name, field in model.model_fields.items()
    }
    table = PAGE.split("## The manifest")[1].split("\nOutputs of a detector")[0]
    first_cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    named = {name for cell in first_cells for name in re.findall(r"`([a-z_0-9.]+)`", cell)}
    assert named == known


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_every_default_model_is_listed_with_its_licence_and_source(entry):
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{entry.model}`")]
    for fact in (entry.kind.value, entry.licence, f"{entry.source.package} {entry.source.version}"):
        assert fact in row


def test_every_error_that_the_page_explains_is_one_that_the_code_raises():
    explained = set(re.findall(r"^\| ([A-Z_]+) \|", PAGE, re.MULTILINE))
    sources = [path.read_text() for group in ("inference", "models") for path in (ROOT / "server" / group).glob("*.py")]
    raised = {reason for text in sources for reason in re.findall(r'Error\(\s*"([A-Z_]+)"', text)}
    assert explained <= raised
    assert len(explained) >= 6
