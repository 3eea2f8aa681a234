"""`facestream-models engine` as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from server.inference.engines.builder import TensorRtBuilder
from server.inference.engines.library import find_library
from server.inference.engines.manager import EngineManager
from server.inference.engines.profiles import workload_for
from server.inference.engines.store import EngineStore
from server.inference.manifest import load_manifest
from server.inference.precision import Precision
from server.models.tiny import write_tiny_detector, write_tiny_embedder
from server.settings import load_settings
from tests.rtx import rtx

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-c", "from server.models.cli import main; main()", "engine"]


@pytest.fixture(autouse=True)
def _library():
    rtx()
    if not find_library().cross_builds:
        pytest.skip("TensorRT comes first, and builds only for the GPU at hand")


@pytest.fixture
def models(tmp_path):
    write_tiny_detector(tmp_path / "models")
    write_tiny_embedder(tmp_path / "models")
    return tmp_path / "models"


@pytest.fixture
def engine(tmp_path):
    """Runs the command and reads its rows."""

    def run(*arguments, code=0):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [*COMMAND, *map(str, arguments), "--output", "json"],
            capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=100,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if done.stdout else done.stderr

    return run


def test_engines_are_built_listed_verified_and_cleaned(engine, models, tmp_path):
    built = engine("build", "tiny-embedder", "--target", "sm86")
    assert [(row["precision"], row["result"]) for row in built] == [("f32", "built"), ("f16", "built")]
    assert "cosine" in built[1]["notes"]
    assert {row["result"] for row in engine("build", "tiny-embedder", "--target", "sm86")} == {"kept"}
    listed = engine("list")
    assert sorted((row["model"], row["precision"], row["target"], row["state"]) for row in listed) == [
        ("tiny-embedder/v1", "f16", "sm86", "usable"),
        ("tiny-embedder/v1", "f32", "sm86", "usable"),
    ]
    assert engine("verify") == listed
    assert engine("clean") == []
    damaged = tmp_path / "engines" / listed[0]["file"]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    (verified,) = [row for row in engine("verify", code=1) if row["state"] == "refused"]
    assert verified["file"] == damaged.name
    assert "seal" in verified["notes"]
    assert [row["file"] for row in engine("clean")] == [damaged.name]
    assert len(engine("clean", "--all")) == 1
    assert engine("list") == []
    assert [path.name for path in (tmp_path / "engines").iterdir()] == ["installation.key"]


@pytest.mark.parametrize("flags", [(), ("--detect-side", "128", "--max-batch", "8")])
def test_a_server_finds_the_engines_that_were_built_with_its_settings(engine, models, tmp_path, flags):
    names = ("tiny-embedder", "tiny-detector")
    engine("build", *names, "--target", "sm86", "--precision", "f32", *flags)
    settings = load_settings(list(flags))
    workload = workload_for(detect_side=settings.detect_side, max_batch=settings.max_batch)
    server = EngineManager(TensorRtBuilder(find_library()), EngineStore(tmp_path / "engines"), workload)
    for name in names:
        key = server.key(load_manifest(models / name / "v1"), Precision.FLOAT32, "sm86")
        assert server.find(key) is not None, name


def test_what_loses_too_much_is_refused_with_the_numbers(engine, models):
    """Nobody finds a face with a tiny detector, so no comparison of it tells anything."""
    rows = engine("build", "tiny-detector", "--target", "sm86", "--precision", "f16", "--detect-side", 64, code=1)
    assert rows[0]["result"] == "ENGINE_UNLIKE"
    assert "sure of no face" in rows[0]["notes"]
    assert engine("list") == []


def test_int8_is_built_from_a_folder_of_crops(engine, models, tmp_path):
    crops = tmp_path / "crops"
    crops.mkdir()
    generator = np.random.default_rng(0)
    for number in range(40):
        cv2.imwrite(str(crops / f"{number}.png"), generator.integers(0, 256, (8, 8, 3), np.uint8))
    rows = engine("build", "tiny-embedder", "--target", "sm86", "--precision", "int8", "--calibration", crops)
    assert rows[0]["result"] == "built"
    cv2.imwrite(str(crops / "0.png"), np.zeros((9, 8, 3), np.uint8))
    other = ("build", "tiny-embedder", "--target", "sm89", "--precision", "int8")
    assert engine(*other, "--calibration", crops, code=1)[0]["result"] == "CALIBRATION_INVALID"
    assert engine(*other, "--calibration", tmp_path / "none", code=1)[0]["result"] == "CALIBRATION_INVALID"
    assert engine(*other, code=1)[0]["result"] == "CALIBRATION_MISSING"


def test_an_embedder_is_compared_on_crops_of_ones_own_as_well(engine, models, tmp_path):
    crops = tmp_path / "crops"
    crops.mkdir()
    generator = np.random.default_rng(0)
    for number in range(5):
        cv2.imwrite(str(crops / f"{number}.png"), generator.integers(0, 256, (8, 8, 3), np.uint8))
    wanted = ("build", "tiny-embedder", "--target", "sm86", "--precision", "f16", "--parity-crops")
    assert "given crops: " in engine(*wanted, crops)[0]["notes"]
    for path in crops.glob("*.png"):
        cv2.imwrite(str(path), np.full((8, 8, 3), 90, np.uint8))
    engine("clean", "--all")
    row = engine(*wanted, crops, code=1)[0]
    assert row["result"] == "ENGINE_UNLIKE"
    assert "on the given crops" in row["notes"]


def test_a_target_that_is_none_is_refused(engine, models):
    assert engine("build", "tiny-embedder", "--target", "ampere", code=1)[0]["result"] == "ENGINE_TARGET_UNSUPPORTED"


@pytest.mark.parametrize("command", ["list", "verify", "clean"])
def test_looking_and_cleaning_make_no_folder(engine, tmp_path, command):
    assert engine(command) == []
    assert not (tmp_path / "engines").exists()


def test_foreign_things_in_the_folder_are_told_and_end_no_command(engine, tmp_path):
    folder = tmp_path / "engines"
    (folder / "a.engine").mkdir(parents=True)
    (folder / "b.engine").symlink_to(folder / "nowhere")
    (folder / "c.engine").write_bytes(b"no seal")
    listed = engine("list")
    assert [(row["file"], row["state"]) for row in listed] == [
        ("a.engine", "foreign"),
        ("b.engine", "foreign"),
        ("c.engine", "refused"),
    ]
    assert engine("verify", code=1) == listed
    cleaned = engine("clean", code=1)
    assert [(row["file"], row["action"]) for row in cleaned] == [
        ("a.engine", "left"),
        ("b.engine", "deleted"),
        ("c.engine", "deleted"),
    ]
    assert "it is a folder" in cleaned[0]["notes"]
    assert [row["file"] for row in engine("verify", code=1)] == ["a.engine"]
